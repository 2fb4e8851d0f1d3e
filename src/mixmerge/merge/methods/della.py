"""DELLA: drop elements of task vectors, small ones more often, elect signs, merge what agrees."""

from collections.abc import Sequence

from mixmerge.merge.methods.della_linear import drop, parameters, range_problem
from mixmerge.merge.methods.method import Method
from mixmerge.merge.methods.task_vectors import merge_sparse
from mixmerge.merge.streaming.tensor import Tensor, TileFunction


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
    """Return b + lambda times the agreeing part of the randomly thinned task vectors."""
    return merge_sparse(
        tensor,
        drop(tensor, density, epsilon),
        weight=weight,
        normalize=normalize,
        rescale=rescale,
        lambda_=lambda_,
        elect=True,
    )


METHOD = Method(
    name="della",
    paper="Deep et al. 2024, DELLA-Merging, arXiv:2406.11617",
    parameters=parameters(normalize=True),
    merge=merge,
    base="required",
    by_row=True,
    problem=range_problem,
)
