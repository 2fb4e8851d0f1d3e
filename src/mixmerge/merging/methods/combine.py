"""What methods share: vectors added up, task vectors made sparse, signs elected.

Many methods stay in the span of the tensors they merge: spherical means and the like are weighted
sums whose weights follow from the inner products of the tensors alone (`Tensor.products`). So the
geometry happens in float64 between a few numbers, and an element costs no more than in a mean.

Others keep a part of each task vector, a model minus the base (Ilharco et al. 2023,
arXiv:2212.04089). They differ in which of its elements they keep; that is their `Sparsify`.
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
    """Return the models' differences from the base if there is one, else their weights.

    The result, of shape (models, count), is the tile's own memory.
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
    """Do the same, in place, with shares of shape (models, rows, 1) or (models, 1, columns)."""
    scaled = tile.rows(vectors)
    scaled *= shares.astype(np.float32)
    return add_up(tile, vectors, [1.0] * len(vectors))


def sparse_parameters(
    *own: Parameter, normalize: bool = False, rescale: bool = False
) -> tuple[Parameter, ...]:
    """Declare the parameters of a `SparseMerge`, with defaults, and those of the method alone."""
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
    """The function of a method that merges task vectors of which a part is kept.

    Without ``elect`` it merges to b + lambda sum_i w_i part(x_i - b), the sum divided by sum_i w_i
    if ``normalize``; with it, to b + lambda times what agrees with the elected signs, divided by
    the sum of the weights of those that agree.
    """

    sparsify: Callable[..., Sparsify]
    """Makes the `Sparsify` of a tensor from the parameters that are the method's own."""
    elect: bool
    """Whether to add only what agrees with the elected sign of its element."""

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
        """Return what to do with each tile; ``own`` parameters are those of the method.

        ``rescale`` first gives each sparse task vector the L1 norm that it had.
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
    """Return the weights, shape (models,), times what restores each task vector's L1 norm."""

    def norms(tile: Tile) -> list[list[float]]:
        deltas = tile.to_deltas()
        before = [magnitude(delta) for delta in deltas]
        sparsify(deltas, tile)
        return [before, [magnitude(delta) for delta in deltas]]

    before, after = tensor.sum(norms)
    # As in mergekit, a task vector that is nearly nothing stays as it is.
    scales = np.divide(
        before, after, out=np.ones_like(before), where=np.minimum(before, after) >= _SMALLEST_NORM
    )
    weights: npt.NDArray[np.float64] = np.multiply(weight, scales)
    return weights
