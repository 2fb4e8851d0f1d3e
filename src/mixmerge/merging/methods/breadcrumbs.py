"""Breadcrumbs: drop the largest and the smallest elements of task vectors, and add the rest."""

from collections.abc import Callable, Sequence

from mixmerge.merging.kernels import Array
from mixmerge.merging.methods.method import Method, number, switch, zero_weight_sum
from mixmerge.merging.methods.task_vectors import Sparsify, merge_sparse
from mixmerge.merging.streaming.tensor import Tensor, Tile, TileFunction

PARAMETERS = (
    number("weight", per_model=True),
    number("density", 1.0, per_model=True, bounds=(0.0, 1.0)),
    number("gamma", 0.01, per_model=True, bounds=(0.0, 1.0)),
    switch("normalize", False),
    switch("rescale", False),
    number("lambda", 1.0),
)


def merging(elect: bool) -> Callable[..., TileFunction]:
    """Return the method's function.

    Without ``elect`` it merges to b + lambda sum_i w_i part(x_i - b), the sum divided by sum_i w_i
    if ``normalize``; with it, to b + lambda times what agrees with the elected signs.
    """

    def merge(
        tensor: Tensor,
        *,
        weight: Sequence[float],
        density: Sequence[float],
        gamma: Sequence[float],
        normalize: bool,
        rescale: bool,
        lambda_: float,
    ) -> TileFunction:
        return merge_sparse(
            tensor,
            keep_middle(tensor, density, gamma),
            weight=weight,
            normalize=normalize,
            rescale=rescale,
            lambda_=lambda_,
            elect=elect,
        )

    return merge


def keep_middle(tensor: Tensor, density: Sequence[float], gamma: Sequence[float]) -> Sparsify:
    """Drop the share ``gamma`` of the largest magnitudes, then keep the next share ``density``.

    Where fewer are left than ``density`` asks for, fewer of the largest are dropped; a density of 1
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
            # The top first: it is found by the values that the bottom sets to zero.
            top.drop(delta, tile.start)
            bottom.keep(delta, tile.start)

    return trim


METHOD = Method(
    name="breadcrumbs",
    paper="Davari & Belilovsky 2024, Model Breadcrumbs, arXiv:2312.06795",
    parameters=PARAMETERS,
    merge=merging(elect=False),
    base="required",
    problem=zero_weight_sum,
)
