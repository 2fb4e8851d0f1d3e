"""Tensors as streams of tiles, and the threads that work on them."""
