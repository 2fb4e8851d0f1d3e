"""Merging: one model out of several, tensor by tensor, by the rule of a published method.

A study file says it with `MergeSpec`; a mergekit YAML file says it to ``mixmerge merge``. Both
become a recipe (`recipes`), then a plan with one row for each tensor (`planning`), which `engine`
carries out: a method (`methods`) sees each tensor as a stream of tiles (`streaming`) read from the
inputs (`models`), and what it makes of them goes to the output's files (`output`).
"""
