"""Merging: one model out of several, tensor by tensor, by the rule of a published method.

A study file says it with `MergeSpec`; a mergekit YAML file says it to ``mixmerge merge``. Both
become a `mixmerge.merge.recipe.MergeRecipe`, then a `mixmerge.merge.plan.MergePlan` (one row per
tensor, everything decidable from headers checked), which `mixmerge.merge.engine.merge` carries out.
"""

from mixmerge.merge.spec import MergeSpec

__all__ = ["MergeSpec"]
