"""Recipes of merges, in mergekit's format and in ours, as text and as objects."""
