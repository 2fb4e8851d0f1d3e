"""TIES: trim task vectors to their largest elements, elect signs, merge what agrees."""

import math
from collections.abc import Sequence

import numpy as np

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.across_models import sign_by_count, sum_of_agreeing
from mixmerge.merging.methods.combine import SparseMerge, Sparsify, restored, sparse_parameters
from mixmerge.merging.methods.method import Method, choice, zero_weight_sum
from mixmerge.merging.streaming.tensor import Tensor, Tile, TileFunction


def merge(
    tensor: Tensor,
    *,
    weight: Sequence[float],
    density: Sequence[float],
    normalize: bool,
    rescale: bool,
    lambda_: float,
    variant: str,
) -> TileFunction:
    """Return b + lambda times the merged task vectors.

    Each task vector keeps the share ``density`` of its largest elements (``rescale`` restores its
    L1 norm) and is multiplied by its weight. Then, for each element:

    - ``original``: the sign of the sum is elected; agreeing values are added and, if ``normalize``,
      divided by the sum of the agreeing weights (TIES as in mergekit).
    - ``paper``: the majority of signs is elected, a tie leaves the base; agreeing values are added
      and, if ``normalize``, divided by the sum of all weights. With equal weights these are
      equations 3 and 4 of arXiv:2410.10801, applied to task vectors instead of parameters.
    """
    if variant == "original":
        return SparseMerge(keep_largest, elect=True)(
            tensor,
            weight=weight,
            density=density,
            normalize=normalize,
            rescale=rescale,
            lambda_=lambda_,
        )
    trim = keep_largest(tensor, density)
    scale = np.float32(lambda_ / math.fsum(weight) if normalize else lambda_)
    weights = np.asarray(restored(tensor, trim, weight) if rescale else weight, np.float32)

    def combine(tile: Tile) -> Array:
        deltas = tile.to_deltas()
        trim(deltas, tile)
        deltas *= weights[:, None]
        total, _ = sum_of_agreeing(deltas, weights, sign_by_count(deltas))
        total *= scale
        total += tile.base
        return total

    return combine


def keep_largest(tensor: Tensor, density: Sequence[float]) -> Sparsify:
    """Keep of each task vector the share of elements with the largest magnitudes."""
    counts = [how_many(share, tensor.size) for share in density]
    cuts = tensor.largest(lambda tile: tile.delta_keys(), counts)

    def trim(deltas: Array, tile: Tile) -> None:
        for delta, cut in zip(deltas, cuts, strict=True):
            cut.keep(delta, tile.start)

    return trim


def how_many(density: float, size: int) -> int:
    """Return int(density * size), at least 1 for a density above 0 and at most ``size``."""
    return min(size, max(1, int(density * size))) if density > 0.0 else 0


METHODS = (
    Method(
        name="ties",
        paper="Yadav et al. 2023, TIES-Merging, arXiv:2306.01708",
        parameters=(*sparse_parameters(normalize=True), choice("variant", "original", "paper")),
        merge=merge,
        base="required",
        problem=lambda own: zero_weight_sum(own) if own["variant"] == "paper" else None,
    ),
)
