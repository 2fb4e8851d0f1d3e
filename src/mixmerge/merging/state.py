"""A merge in memory: straight into a model, without touching the disk."""

import math
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixmerge.merging.compute import compute
from mixmerge.merging.planning.plan import Row, plan_merge
from mixmerge.merging.recipes.recipe import MergeRecipe
from mixmerge.merging.recipes.recipe_file import read_recipe
from mixmerge.merging.streaming.tensor import Spread
from mixmerge.merging.streaming.workers import workers

if TYPE_CHECKING:
    import torch


def merge_state(
    recipe: Path | Mapping[str, Any] | MergeRecipe,
    *,
    seed: int = 0,
    threads: int | None = None,
) -> "dict[str, torch.Tensor]":
    """Merge models into a state dict, the same numbers as `mixmerge.merge` writes.

    Inputs are read through the page cache, so several merges of the same models read the disk
    once. The result is all that is held in memory.

    Args:
        recipe: a YAML file in mergekit's form or ours, its parsed content, or a recipe.
        seed: of the methods that draw at random.
        threads: how many to use; None: one for each processor.

    Returns:
        Tensors by name, of the recipe's output type, for
        ``model.load_state_dict(..., assign=True)``; a tied head is not among them.

    Raises:
        SpecError: the recipe is wrong.
        ModelError: a model is incomplete or broken, or the models do not fit together.
    """
    import torch

    types = {
        "BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32, "BOOL": torch.bool,
        "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16, "I32": torch.int32,
        "I64": torch.int64, "U16": torch.uint16, "U32": torch.uint32, "U64": torch.uint64,
    }  # fmt: skip
    with closing(plan_merge(read_recipe(recipe))) as plan:
        state = {
            row.output.name: torch.empty(row.output.shape, dtype=types[row.output.dtype])
            for row in plan.rows
        }

        def fill(row: Row, spread: Spread, hold: int) -> None:
            place = state[row.output.name].reshape(-1).view(torch.uint8).numpy()

            def receive(start: int, content: memoryview) -> None:
                place[start : start + len(content)] = content

            compute(row, plan.recipe.declaration, seed, spread, hold, receive)

        with workers(threads) as pool:
            pool.run((math.prod(row.output.shape), partial(fill, row)) for row in plan.rows)
        plan.check_unchanged()
        return state
