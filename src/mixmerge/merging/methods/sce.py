"""SCE: select the elements that vary most, calculate weights from them, erase minority signs."""

import numpy as np

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.across_models import sign_by_mass, standard_deviation, sum_of_agreeing
from mixmerge.merging.kernels.linear_algebra import dot
from mixmerge.merging.kernels.selection import EVERYTHING, NOTHING, Cut
from mixmerge.merging.methods.method import Method, number
from mixmerge.merging.streaming.tensor import Sums, Tensor, Tile, TileFunction

_SMALLEST_TOTAL = 1e-6


def merge(tensor: Tensor, *, select_topk: float) -> TileFunction:
    """Return b + sum_i w_i d_i / sum_i w_i over the task vectors d_i with the elected sign.

    First, of the elements in which the models differ, the share ``select_topk`` with the largest
    variance is selected; the others become 0. w_i is the mean square of d_i, divided by the sum
    over all models, or 1/N if that sum is below 1e-6. The sign of the sum of the d_i is elected.
    """
    cut = _selected(tensor, select_topk)

    def select(tile: Tile) -> Array:
        deltas = tile.to_deltas()
        if cut is not EVERYTHING:
            spread = standard_deviation(deltas)
            for delta in deltas:
                cut.keep(delta, tile.start, spread)
        return deltas

    squares = tensor.sum(lambda tile: [dot(delta, delta) for delta in select(tile)])
    weights = _shares(squares / tensor.size).astype(np.float32)

    def combine(tile: Tile) -> Array:
        deltas = select(tile)
        sign = sign_by_mass(deltas)
        deltas *= weights[:, None]
        total, share = sum_of_agreeing(deltas, weights, sign)
        total /= np.maximum(share, np.float32(_SMALLEST_TOTAL), out=share)
        total += tile.base
        return total

    return combine


def _selected(tensor: Tensor, share: float) -> Cut:
    if share >= 1.0:
        return EVERYTHING
    if share <= 0.0:
        return NOTHING

    def spread(tile: Tile) -> Array:
        return standard_deviation(tile.to_deltas())

    differing = int(tensor.sum(lambda tile: np.count_nonzero(spread(tile))))
    (cut,) = tensor.largest(lambda tile: [spread(tile)], [int(differing * share)])
    return cut


def _shares(squares: Sums) -> Sums:
    total = squares.sum()
    return squares / total if total >= _SMALLEST_TOTAL else np.full_like(squares, 1 / squares.size)


METHODS = (
    Method(
        name="sce",
        paper="Wan et al. 2024, FuseChat, arXiv:2408.07990",
        parameters=(number("select_topk", 1.0, bounds=(0.0, 1.0)),),
        merge=merge,
        base="required",
    ),
)
