"""DELLA without election: drop elements of task vectors, small ones more often; add the rest."""

from collections.abc import Callable, Sequence

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.sparsify import keep_by_rank
from mixmerge.merging.methods.method import (
    Arguments,
    Method,
    Parameter,
    number,
    switch,
    zero_weight_sum,
)
from mixmerge.merging.methods.task_vectors import Sparsify, merge_sparse
from mixmerge.merging.streaming.tensor import Tensor, Tile, TileFunction


def parameters(normalize: bool) -> tuple[Parameter, ...]:
    """Declare the parameters, with the given default of ``normalize``."""
    return (
        number("weight", per_model=True),
        number("density", 1.0, per_model=True, bounds=(0.0, 1.0)),
        number("epsilon", 0.15, per_model=True, bounds=(0.0, 0.5)),
        switch("normalize", normalize),
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
        epsilon: Sequence[float],
        normalize: bool,
        rescale: bool,
        lambda_: float,
    ) -> TileFunction:
        return merge_sparse(
            tensor,
            drop(tensor, density, epsilon),
            weight=weight,
            normalize=normalize,
            rescale=rescale,
            lambda_=lambda_,
            elect=elect,
        )

    return merge


def drop(tensor: Tensor, density: Sequence[float], epsilon: Sequence[float]) -> Sparsify:
    """Keep elements with a probability that depends on their rank in their row (MagPrune).

    It falls evenly from density + epsilon for the largest magnitude to density - epsilon for the
    smallest. A density of 1 keeps everything, one of 0 nothing.
    """

    def thin(deltas: Array, tile: Tile) -> None:
        for model, (delta, share, spread) in enumerate(zip(deltas, density, epsilon, strict=True)):
            if share <= 0.0:
                delta[:] = 0
            elif share < 1.0:
                keep_by_rank(tile.rows(delta), share, spread, tensor.random_bits(tile, model))

    return thin


def range_problem(arguments: Arguments) -> str | None:
    """Refuse a density and an epsilon that do not leave all probabilities between 0 and 1."""
    density, epsilon = arguments["density"], arguments["epsilon"]
    assert isinstance(density, tuple)
    assert isinstance(epsilon, tuple)
    for share, spread in zip(map(float, density), map(float, epsilon), strict=True):
        if 0 < share < 1 and not (share - spread > 0 and share + spread < 1):
            return (
                f"density {share:g} with epsilon {spread:g} needs probabilities from "
                f"{share - spread:g} to {share + spread:g}; both must lie between 0 and 1"
            )
    return None


def _problem(arguments: Arguments) -> str | None:
    return range_problem(arguments) or zero_weight_sum(arguments)


METHOD = Method(
    name="della_linear",
    paper="Deep et al. 2024, DELLA-Merging, arXiv:2406.11617, without its election",
    parameters=parameters(normalize=False),
    merge=merging(elect=False),
    base="required",
    by_row=True,
    problem=_problem,
    version=3,  # draws by a model's name, no longer by its place
)
