"""Breadcrumbs: drop the largest and the smallest elements of task vectors."""

from collections.abc import Sequence

from mixmerge.merging.kernels import Array
from mixmerge.merging.methods.combine import SparseMerge, Sparsify, sparse_parameters
from mixmerge.merging.methods.method import Method, number, zero_weight_sum
from mixmerge.merging.streaming.tensor import Tensor, Tile

_PARAMETERS = sparse_parameters(number("gamma", 0.01, per_model=True, bounds=(0.0, 1.0)))


def keep_middle(tensor: Tensor, density: Sequence[float], gamma: Sequence[float]) -> Sparsify:
    """Drop the share ``gamma`` of the largest magnitudes, then keep the next share ``density``.

    If fewer are left than ``density`` asks for, fewer of the largest are dropped; a density of 1
    keeps everything.
    """
    kept = [int(share * tensor.size) for share in density]
    dropped = [
        min(int(share * tensor.size), tensor.size - count)
        for share, count in zip(gamma, kept, strict=True)
    ]
    both = [top + count for top, count in zip(dropped, kept, strict=True)]
    cuts = tensor.largest(lambda tile: 2 * tile.delta_keys(), [*both, *dropped])
    pairs = list(zip(cuts[: tensor.count], cuts[tensor.count :], strict=True))

    def trim(deltas: Array, tile: Tile) -> None:
        for delta, (bottom, top) in zip(deltas, pairs, strict=True):
            # Top first: both cuts refer to the original values, which the bottom cut zeroes.
            top.drop(delta, tile.start)
            bottom.keep(delta, tile.start)

    return trim


METHODS = (
    Method(
        name="breadcrumbs",
        paper="Davari & Belilovsky 2024, Model Breadcrumbs, arXiv:2312.06795",
        parameters=_PARAMETERS,
        merge=SparseMerge(keep_middle, elect=False),
        base="required",
        problem=zero_weight_sum,
    ),
    Method(
        name="breadcrumbs_ties",
        paper="Davari & Belilovsky 2024, arXiv:2312.06795, "
        "with the sign election of arXiv:2306.01708",
        parameters=_PARAMETERS,
        merge=SparseMerge(keep_middle, elect=True),
        base="required",
    ),
)
