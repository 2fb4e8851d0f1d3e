"""Merge into a model that is loaded already, tensor by tensor, again and again.

A search tries hundreds of merges of the same models. Its candidates share one network: each merge
overwrites the parameters, so memory holds one copy of the model and one tensor more. The inputs are
mapped files that stay in the page cache after the first merge.
"""

import math
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from mixmerge.errors import ModelError
from mixmerge.merging.models.safetensors_io import TORCH_NAMES
from mixmerge.merging.planning.plan import MergePlan, Row, plan_merge
from mixmerge.merging.recipes.recipe import MergeRecipe
from mixmerge.merging.streaming.tensor import ParallelMap
from mixmerge.merging.streaming.workers import Workers
from mixmerge.merging.write import compute

if TYPE_CHECKING:
    import torch


def merge_into(
    state: "Mapping[str, torch.Tensor]",
    recipe: MergeRecipe,
    *,
    seed: int = 0,
    threads: int | None = None,
) -> None:
    """Overwrite the parameters of a loaded model by a merge: what loading its folder would give.

    Values are rounded to the output's type first, as in the folder, and then converted to the type
    and device of the parameters. Nothing is written to disk.

    Args:
        state: the model's ``state_dict()``, whose tensors are the parameters themselves.
        recipe: a merge of models of the same architecture.
        seed: for methods with random draws.
        threads: number of threads; None: one per processor.

    Raises:
        SpecError: the recipe is wrong.
        ModelError: the models do not fit together, or the loaded model stores its weights under
            other names, or ties what the merge would untie. The parameters may be half merged.
    """
    with closing(plan_merge(recipe)) as plan:
        places = _places(state, plan)

        def fill(row: Row, parallel_map: ParallelMap, hold: int) -> None:
            _fill(places[row.output.name], row, plan, seed, parallel_map, hold)

        with Workers(threads) as pool:
            pool.run((math.prod(row.output.shape), partial(fill, row)) for row in plan.rows)
        plan.check_unchanged()


def _places(state: "Mapping[str, torch.Tensor]", plan: MergePlan) -> "dict[str, torch.Tensor]":
    """Return the parameter of every merged tensor."""
    places: dict[str, torch.Tensor] = {}
    memory: dict[int, str] = {}
    for output in plan.outputs:
        place = state.get(output.name)
        if place is None or tuple(place.shape) != tuple(output.shape):
            seen = "nothing" if place is None else f"one of shape {tuple(place.shape)}"
            raise ModelError(
                f"tensor {output.name}: the loaded model needs one of shape {output.shape} of this "
                f"name (seen: {seen}), so merges of these models cannot be tried in memory."
            )
        twin = memory.setdefault(place.data_ptr(), output.name) if place.numel() else output.name
        if twin != output.name:
            raise ModelError(
                f"tensors {twin} and {output.name}: the merge has both, and the loaded model ties "
                "them, so merges of these models cannot be tried in memory."
            )
        places[output.name] = place
    written = {place.data_ptr() for place in places.values()}
    for name, tensor in state.items():
        if tensor.numel() and tensor.data_ptr() not in written:
            raise ModelError(
                f"tensor {name}: the loaded model has it and the merge does not, so merges of "
                "these models cannot be tried in memory."
            )
    return places


def _fill(
    place: "torch.Tensor",
    row: Row,
    plan: MergePlan,
    seed: int,
    parallel_map: ParallelMap,
    hold: int,
) -> None:
    import torch

    dtype = getattr(torch, TORCH_NAMES[row.output.dtype])
    direct = place.dtype == dtype and place.device.type == "cpu" and place.is_contiguous()
    merged = place.detach() if direct else torch.empty(row.output.shape, dtype=dtype)
    content = merged.reshape(-1).view(torch.uint8).numpy()

    def receive(start: int, values: memoryview) -> None:
        content[start : start + len(values)] = values

    compute(row, plan.recipe.declaration, seed, parallel_map, hold, receive)
    if not direct:
        with torch.no_grad():
            place.copy_(merged)
