"""Does it matter which languages are merged? Every pair of ten, against distances between them."""
