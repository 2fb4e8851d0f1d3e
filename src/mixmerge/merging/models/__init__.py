"""The inputs of a merge: model folders, hub names, adapters and pickles, read piece by piece."""
