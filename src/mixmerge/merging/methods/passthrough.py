"""Passthrough: one model's tensor as it is, or scaled."""

from collections.abc import Sequence

import numpy as np

from mixmerge.merging.kernels import Array
from mixmerge.merging.methods.method import Method, number
from mixmerge.merging.streaming.tensor import Tensor, Tile, TileFunction


def merge(tensor: Tensor, *, scale: Sequence[float]) -> TileFunction:  # noqa: ARG001
    """Return x times ``scale``."""
    factor = np.float32(scale[0])

    def scaled(tile: Tile) -> Array:
        model: Array = tile.models[0]
        model *= factor
        return model

    return scaled


METHOD = Method(
    name="passthrough",
    paper="mergekit",
    parameters=(number("scale", 1.0, per_model=True),),
    merge=merge,
    models=(1, 1),
)
