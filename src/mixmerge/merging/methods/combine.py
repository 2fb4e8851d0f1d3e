"""What methods share: sums of vectors, sparse task vectors, sign election.

Many methods stay in the span of the tensors they merge: spherical means and similar methods are
weighted sums whose weights follow from inner products alone (`Tensor.products`). So the geometry is
float64 arithmetic on a few numbers, and an element costs no more than in a plain mean.

Others keep a part of each task vector, a model minus the base (Ilharco et al. 2023,
arXiv:2212.04089), and differ in the part they keep: their `Sparsify`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.across_models import elected_sum
from mixmerge.merging.kernels.linear_algebra import magnitude, weighted_sum
from mixmerge.merging.methods.method import Parameter, number, switch
from mixmerge.merging.streaming.tensor import Tensor, Tile, TileFunction

Shares = Sequence[float] | npt.NDArray[np.float64]

Sparsify = Callable[[Array, Tile], None]
"""Sets elements of task vectors, shape (models, count), to zero, in place."""

_SMALLEST_NORM = 1e-7


def vectors(tile: Tile) -> Array:
    """Return the models' differences from the base, or their weights if there is none.

    The result, shape (models, count), is the tile's own memory.
    """
    return tile.to_deltas() if tile.has_base else tile.models


def combination(shares: Shares) -> TileFunction:
    """Return a function that adds up `vectors`, each times its share."""
    return lambda tile: add_up(tile, vectors(tile), shares)


def add_up(tile: Tile, vectors: Array, shares: Shares) -> Array:
    """Return the weighted sum of vectors, plus the base if there is one."""
    merged = weighted_sum(vectors, shares)
    if tile.has_base:
        merged += tile.base
    return merged


def add_up_by_row(tile: Tile, vectors: Array, shares: npt.NDArray[np.float64]) -> Array:
    """Do the same in place with shares of shape (models, rows, 1) or (models, 1, columns)."""
    scaled = tile.rows(vectors)
    scaled *= shares.astype(np.float32)
    return add_up(tile, vectors, [1.0] * len(vectors))


def sparse_parameters(
    *own: Parameter, normalize: bool = False, rescale: bool = False
) -> tuple[Parameter, ...]:
    """Declare the parameters of a `SparseMerge`, with defaults, and the method's ``own``."""
    return (
        number("weight", per_model=True),
        number("density", 1.0, per_model=True, bounds=(0.0, 1.0)),
        *own,
        switch("normalize", normalize),
        switch("rescale", rescale),
        number("lambda", 1.0),
    )


@dataclass(frozen=True)
class SparseMerge:
    """The merge function of methods that keep a part of each task vector.

    Without ``elect`` the result is b + lambda sum_i w_i part(x_i - b), the sum divided by sum_i w_i
    if ``normalize``; with it, b + lambda times the sum of what agrees with the elected sign,
    divided by the agreeing weights if ``normalize``.
    """

    sparsify: Callable[..., Sparsify]
    """Makes the `Sparsify` of a tensor from the method's own parameters."""
    elect: bool
    """Whether to add only values with the elected sign."""

    def __call__(
        self,
        tensor: Tensor,
        *,
        weight: Sequence[float],
        normalize: bool,
        rescale: bool,
        lambda_: float,
        **own: Sequence[float],
    ) -> TileFunction:
        """Return the function for each tile; ``own`` parameters are the method's.

        ``rescale`` first gives each sparse task vector its previous L1 norm.
        """
        sparsify = self.sparsify(tensor, **own)
        weights = restored(tensor, sparsify, weight) if rescale else np.asarray(weight, np.float64)
        factors = np.asarray(weights, np.float32)
        divisors = np.asarray(weight, np.float32) if normalize else None
        scale = lambda_ / math.fsum(weight) if normalize and not self.elect else lambda_

        def combine(tile: Tile) -> Array:
            deltas = tile.to_deltas()
            sparsify(deltas, tile)
            if self.elect:
                return elected_sum(deltas, factors, divisors, lambda_, tile.base)
            return add_up(tile, deltas, weights * scale)

        return combine


def restored(
    tensor: Tensor, sparsify: Sparsify, weight: Sequence[float]
) -> npt.NDArray[np.float64]:
    """Return the weights, shape (models,), times the factors that restore each L1 norm."""

    def norms(tile: Tile) -> list[list[float]]:
        deltas = tile.to_deltas()
        before = [magnitude(delta) for delta in deltas]
        sparsify(deltas, tile)
        return [before, [magnitude(delta) for delta in deltas]]

    before, after = tensor.sum(norms)
    # As in mergekit, a task vector that is almost zero is not rescaled.
    scales = np.divide(
        before, after, out=np.ones_like(before), where=np.minimum(before, after) >= _SMALLEST_NORM
    )
    weights: npt.NDArray[np.float64] = np.multiply(weight, scales)
    return weights
