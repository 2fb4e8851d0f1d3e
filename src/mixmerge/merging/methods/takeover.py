"""Methods that take elements of another model: near ones (NearSwap) or outliers (Arcee Fusion)."""

import numpy as np

from mixmerge.merging.kernels import Array
from mixmerge.merging.methods.method import Method, number
from mixmerge.merging.streaming.tensor import Sums, Tensor, Tile, TileFunction

_SMALLEST_DISTANCE = np.float32(1e-6)
_FLOOR = 1e-8
"""Added to each probability, as in mergekit."""


def nearswap(tensor: Tensor, *, t: float) -> TileFunction:  # noqa: ARG001
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


def arcee_fusion(tensor: Tensor) -> TileFunction:
    """Return x where its importance reaches median + 1.5 (Q3 - Q1), else b.

    The importance of an element is |x - b| times the divergence KL(softmax x || softmax b) of its
    row. Quartiles are over all elements: the one at index int(q (n - 1)) in ascending order.
    """
    divergences = np.empty(tensor.size // tensor.columns, np.float32)

    def diverge(tile: Tile) -> int:
        first = tile.start // tile.columns
        rows = divergence(tile.rows(tile.models[0]), tile.rows(tile.base))
        divergences[first : first + rows.size] = rows
        return 0

    tensor.sum(diverge)  # each tile fills its own rows

    def importance(tile: Tile) -> Array:
        first = tile.start // tile.columns
        size = tile.rows(np.abs(tile.models[0] - tile.base))
        size *= divergences[first : first + len(size), None]
        return size.reshape(-1)

    ranks = [tensor.size - int(q * (tensor.size - 1)) for q in (0.25, 0.5, 0.75)]
    low, middle, high = tensor.ranked(importance, ranks)
    threshold = np.float32(middle + 1.5 * (high - low))
    return lambda tile: np.where(importance(tile) >= threshold, tile.models[0], tile.base)


def divergence(x: Array, b: Array) -> Sums:
    """Return the Kullback-Leibler divergence of softmax(b) from softmax(x) for each row, >= 0."""
    p, q = _softmax(x), _softmax(b)
    np.log(np.divide(p, q, out=q), out=q)
    q *= p
    divergences: Sums = np.maximum(q.sum(axis=-1), 0.0)
    return divergences


def _softmax(rows: Array) -> Sums:
    result: Sums = rows.astype(np.float64)
    result -= result.max(axis=-1, keepdims=True)
    np.exp(result, out=result)
    result /= result.sum(axis=-1, keepdims=True)
    result += _FLOOR
    return result


METHODS = (
    Method(
        name="nearswap",
        paper="alchemonaut 2024, huggingface.co/alchemonaut/QuartetAnemoi-70B-t0.0001",
        parameters=(number("t"),),
        merge=nearswap,
        base="required",
        models=(1, 1),
    ),
    Method(
        name="arcee_fusion",
        paper="Arcee AI 2024, in mergekit",
        parameters=(),
        merge=arcee_fusion,
        base="required",
        models=(1, 1),
        by_row=True,
    ),
)
