"""Adapters as results: of a merge of adapters, and of the difference between two models."""
