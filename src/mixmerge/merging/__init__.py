"""Merging: one model out of several, tensor by tensor, with a published method.

A study file describes a merge with `MergeSpec`, ``mixmerge merge`` reads mergekit YAML. Both become
a recipe (`recipes`), then a plan with one row per tensor (`planning`), which `engine` runs: a
method (`methods`) sees each tensor as a stream of tiles (`streaming`) read from the inputs
(`models`), and its results are written to the output's files (`output`).
"""
