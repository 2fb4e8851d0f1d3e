"""NearSwap: take over what another model has nearly the same as the base."""

import numpy as np

from mixmerge.merging.kernels import Array
from mixmerge.merging.methods.method import Method, number
from mixmerge.merging.streaming.tensor import Tensor, Tile, TileFunction

_SMALLEST_DISTANCE = np.float32(1e-6)


def merge(tensor: Tensor, *, t: float) -> TileFunction:  # noqa: ARG001
    """Return w x + (1 - w) b, with w = t / |x - b| limited to [0, 1], for each element."""

    def combine(tile: Tile) -> Array:
        (model,) = tile.models
        weight: Array = model - tile.base
        np.abs(weight, out=weight)
        np.maximum(weight, _SMALLEST_DISTANCE, out=weight)
        np.divide(np.float32(t), weight, out=weight)
        np.clip(weight, 0, 1, out=weight)
        model *= weight
        np.subtract(np.float32(1), weight, out=weight)
        weight *= tile.base
        weight += model
        return weight

    return combine


METHOD = Method(
    name="nearswap",
    paper="alchemonaut 2024, huggingface.co/alchemonaut/QuartetAnemoi-70B-t0.0001",
    parameters=(number("t"),),
    merge=merge,
    base="required",
    models=(1, 1),
)
