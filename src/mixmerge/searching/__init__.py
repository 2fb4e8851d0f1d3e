"""Search among merges for the best trade-offs, under a budget: ``mixmerge search``."""
