"""What the methods share that stay in the span of the tensors they merge.

Spherical means and the like are weighted sums whose weights follow from the inner products of the
tensors alone (`Tensor.products`). So the geometry happens in float64 between a few numbers, and
an element costs no more than in a weighted mean.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.interpolate import weighted_sum
from mixmerge.merging.streaming.tensor import Tile, TileFunction

Shares = Sequence[float] | npt.NDArray[np.float64]


def vectors(tile: Tile) -> Array:
    """Return the models' differences from the base if there is one, else their weights.

    Returns:
        Shape (models, count): the tile's own memory.
    """
    return tile.to_deltas() if tile.has_base else tile.models


def combination(shares: Shares) -> TileFunction:
    """Return the function that adds up `vectors`, each times its share."""
    return lambda tile: add_up(tile, vectors(tile), shares)


def add_up(tile: Tile, vectors: Array, shares: Shares) -> Array:
    """Return the sum of vectors, each times its share, on top of the base if there is one."""
    merged = weighted_sum(vectors, shares)
    if tile.has_base:
        merged += tile.base
    return merged


def add_up_by_row(tile: Tile, vectors: Array, shares: npt.NDArray[np.float64]) -> Array:
    """Do the same with shares that differ between rows or between columns.

    Args:
        tile: whole rows.
        vectors: shape (models, count); overwritten.
        shares: shape (models, rows, 1) or (models, 1, columns).
    """
    scaled = tile.rows(vectors)
    scaled *= shares.astype(np.float32)
    return add_up(tile, vectors, [1.0] * len(vectors))
