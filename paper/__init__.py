"""Reproduction of arXiv 2410.10801: its grid over several seeds, beside its numbers."""
