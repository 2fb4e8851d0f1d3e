"""The paper's layout: the grid of arXiv 2410.10801 over several seeds, beside its numbers."""
