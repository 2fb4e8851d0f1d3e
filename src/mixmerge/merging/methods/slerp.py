"""SLERP and NuSLERP: from one model to another along the great circle between their weights."""

import math
from collections.abc import Sequence

import numpy as np

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.linear_algebra import cosine, row_products, slerp_weights
from mixmerge.merging.methods.combine import add_up_by_row, combination, vectors
from mixmerge.merging.methods.method import Method, number, switch, zero_weight_sum
from mixmerge.merging.streaming.tensor import Sums, Tensor, Tile, TileFunction


def slerp(tensor: Tensor, *, weight: Sequence[float], dot_threshold: float) -> TileFunction:
    """Return the point at t = w_1 / (w_0 + w_1): the first model at 0, the second at 1.

    Fine-tunes of one base are often so nearly parallel (cosine above ``dot_threshold``) that the
    interpolation is linear; 1 forces it to be spherical.
    """
    t = weight[1] / math.fsum(weight)
    return combination(slerp_weights(cosine(tensor.products(vectors)), t, dot_threshold))


def nuslerp(
    tensor: Tensor, *, weight: Sequence[float], nuslerp_row_wise: bool, nuslerp_flatten: bool
) -> TileFunction:
    """Return the point at t = w_1 / (w_0 + w_1) on the great circle between two vectors.

    The vectors are the models' weights or, with a base, their differences from it: whole tensors
    (``nuslerp_flatten``), or else their rows, or their columns (which is what ``nuslerp_row_wise``
    means in mergekit; a tensor of one dimension is one vector).
    """
    total = weight[0] + weight[1]
    t = weight[1] / total if abs(total) >= 1e-6 else 0.5
    if nuslerp_flatten:
        return combination(slerp_weights(cosine(tensor.products(vectors)), t, 1.0))
    if nuslerp_row_wise and len(tensor.shape) > 1:
        columns = slerp_weights(cosine(tensor.sum(_products_of_columns)), t, 1.0)
        return lambda tile: add_up_by_row(tile, vectors(tile), columns[:, None, :])

    def combine(tile: Tile) -> Array:
        pair = vectors(tile)
        rows = slerp_weights(cosine(row_products(tile.rows(pair))), t, 1.0)
        return add_up_by_row(tile, pair, rows[:, :, None])

    return combine


def _products_of_columns(tile: Tile) -> Sums:
    """Return the tile's part of the inner products, shape (2, 2, columns)."""
    pair = tile.rows(vectors(tile)).astype(np.float64)
    return np.array([[(a * b).sum(axis=0) for b in pair] for a in pair])


METHODS = (
    Method(
        name="slerp",
        paper="Shoemake 1985, Animating rotation with quaternion curves, doi:10.1145/325165.325242",
        parameters=(
            # The two weights are one number, mergekit's t, so both must match the same rule.
            number("weight", per_model=True, by_output=True),
            number("dot_threshold", 0.9995, bounds=(0.0, 1.0)),
        ),
        merge=slerp,
        models=(2, 2),
        problem=zero_weight_sum,
    ),
    Method(
        name="nuslerp",
        paper="mergekit; after Shoemake 1985, doi:10.1145/325165.325242",
        parameters=(
            number("weight", per_model=True),
            switch("nuslerp_row_wise", False),
            switch("nuslerp_flatten", True),
        ),
        merge=nuslerp,
        base="optional",
        models=(2, 2),
        by_row=True,
    ),
)
