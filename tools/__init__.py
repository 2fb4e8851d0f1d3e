"""Tools that made the data shipped with mixmerge; not needed to use them."""
