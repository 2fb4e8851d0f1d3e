"""What the methods share that merge task vectors: thin them out, elect signs, add them to the base.

A task vector is a model minus the base (Ilharco et al. 2023, arXiv:2212.04089). The methods differ
in which of its elements they keep; that is their `Sparsify`.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.consensus import elected_sum
from mixmerge.merging.kernels.reductions import magnitude
from mixmerge.merging.kernels.sparsify import restoring_scale
from mixmerge.merging.methods.span import Shares, add_up
from mixmerge.merging.streaming.tensor import Tensor, Tile, TileFunction

Sparsify = Callable[[Array, Tile], None]
"""Sets elements of task vectors, shape (models, count), to zero, in place."""


def merge_sparse(
    tensor: Tensor,
    sparsify: Sparsify,
    *,
    weight: Sequence[float],
    normalize: bool,
    rescale: bool,
    lambda_: float,
    elect: bool,
) -> TileFunction:
    """Merge task vectors of which a part is kept.

    Args:
        tensor: what is merged.
        sparsify: sets the rest to zero.
        weight: of each model.
        normalize: divide by the sum of the weights (of those that agree, if ``elect``).
        rescale: first give each sparse task vector the L1 norm that it had.
        lambda_: factor of the merged task vector.
        elect: add only what agrees with the elected sign of its element.
    """
    weights = restored(tensor, sparsify, weight) if rescale else np.asarray(weight, np.float64)

    def combine(tile: Tile) -> Array:
        deltas = tile.to_deltas()
        sparsify(deltas, tile)
        if elect:
            return add_agreeing(tile, deltas, weights, weight if normalize else None, lambda_)
        return add_up(tile, deltas, weights * scale)

    scale = lambda_ / math.fsum(weight) if normalize and not elect else lambda_
    return combine


def restored(
    tensor: Tensor, sparsify: Sparsify, weight: Sequence[float]
) -> npt.NDArray[np.float64]:
    """Return the weights times what gives each sparse task vector the L1 norm it had before.

    Returns:
        Shape (models,).
    """

    def norms(tile: Tile) -> list[list[float]]:
        deltas = tile.to_deltas()
        before = [magnitude(delta) for delta in deltas]
        sparsify(deltas, tile)
        return [before, [magnitude(delta) for delta in deltas]]

    before, after = tensor.sum(norms)
    scales = [restoring_scale(*pair) for pair in zip(before, after, strict=True)]
    return np.multiply(weight, scales)


def add_agreeing(
    tile: Tile, deltas: Array, weights: Shares, shares: Sequence[float] | None, lambda_: float
) -> Array:
    """Return the base plus lambda times what agrees with the elected signs, shape (count,).

    Args:
        tile: has the base.
        deltas: task vectors, shape (models, count).
        weights: by what each is multiplied before the election.
        shares: the agreeing sum is divided by the sum of these for the models that agree; None:
            it is not divided.
        lambda_: factor of the merged task vector.
    """
    divisors = None if shares is None else np.asarray(shares, np.float32)
    return elected_sum(deltas, np.asarray(weights, np.float32), divisors, lambda_, tile.base)
