"""DARE: drop random elements of task vectors, rescale the rest, and add them to the base."""

from collections.abc import Callable, Sequence

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.sparsify import keep_random
from mixmerge.merging.methods.method import Method, number, switch, zero_weight_sum
from mixmerge.merging.methods.task_vectors import Sparsify, merge_sparse
from mixmerge.merging.streaming.tensor import Tensor, Tile, TileFunction

PARAMETERS = (
    number("weight", per_model=True),
    number("density", 1.0, per_model=True, bounds=(0.0, 1.0)),
    switch("normalize", False),
    switch("rescale", True),
    number("lambda", 1.0),
)


def merging(elect: bool) -> Callable[..., TileFunction]:
    """Return the method's function.

    Without ``elect`` it merges to b + lambda sum_i w_i drop(x_i - b), the sum divided by sum_i w_i
    if ``normalize``; with it, to b + lambda times what agrees with the elected signs.
    """

    def merge(
        tensor: Tensor,
        *,
        weight: Sequence[float],
        density: Sequence[float],
        normalize: bool,
        rescale: bool,
        lambda_: float,
    ) -> TileFunction:
        return merge_sparse(
            tensor,
            drop(tensor, density),
            weight=weight,
            normalize=normalize,
            rescale=rescale,
            lambda_=lambda_,
            elect=elect,
        )

    return merge


def drop(tensor: Tensor, density: Sequence[float]) -> Sparsify:
    """Keep each element of each task vector with probability ``density``.

    ``rescale`` then gives each task vector its L1 norm back, as in mergekit; the paper divides by
    the density instead, which keeps every element's expectation.
    """

    def thin(deltas: Array, tile: Tile) -> None:
        for model, (delta, share) in enumerate(zip(deltas, density, strict=True)):
            keep_random(delta, share, tensor.random_words(model), tile.start)

    return thin


METHOD = Method(
    name="dare_linear",
    paper="Yu et al. 2024, Language models are super Mario, arXiv:2311.03099",
    parameters=PARAMETERS,
    merge=merging(elect=False),
    base="required",
    problem=zero_weight_sum,
    version=3,  # draws by a model's name, no longer by its place
)
