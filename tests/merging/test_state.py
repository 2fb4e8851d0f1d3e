"""Behaviour of merging in memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from mixmerge.merging.engine import merge
from mixmerge.merging.recipes.recipe import MergeRecipe
from mixmerge.merging.state import merge_state

Recipes = Callable[..., MergeRecipe]


def test_a_state_holds_what_a_merge_writes(
    recipe: Recipes, pair: dict[str, Path], tmp_path: Path
) -> None:
    """Every tensor has the same type, shape and bits as in the folder."""
    for dtype in ("bfloat16", "float16", "float32"):
        made = recipe("slerp", pair, dtype=dtype)
        merge(made, tmp_path / "out")
        written = load_file(tmp_path / "out" / "model.safetensors")
        state = merge_state(made, threads=2)
        assert state.keys() == written.keys()
        assert all(torch.equal(state[name], written[name]) for name in written)
        assert all(state[name].dtype == written[name].dtype for name in written)


def test_buffers_and_odd_shapes_are_in_the_state(recipe: Recipes, model: Any) -> None:
    """No dimension, no element and whole numbers arrive as they are."""
    tensors = {
        "scalar": np.array(2.0, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "positions": np.arange(4),
    }
    paths = {name: model(name, tensors, dtypes={"positions": "I64"}) for name in "ab"}
    state = merge_state(recipe("linear", paths))
    assert state["scalar"].shape == ()
    assert state["empty"].shape == (0, 3)
    assert state["positions"].tolist() == [0, 1, 2, 3]


def test_a_state_stays_when_the_inputs_are_gone(recipe: Recipes, pair: dict[str, Path]) -> None:
    """The result does not refer to the files it was made from, and can be changed."""
    state = merge_state(recipe("linear", pair))
    before = {name: tensor.clone() for name, tensor in state.items()}
    for path in pair.values():
        (path / "model.safetensors").unlink()
    assert all(torch.equal(state[name], before[name]) for name in before)
    next(iter(state.values())).add_(1)
