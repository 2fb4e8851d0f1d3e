"""DARE-TIES: drop random elements of task vectors, rescale the rest, elect signs, merge."""

from collections.abc import Sequence

from mixmerge.merge.methods.dare_linear import PARAMETERS, drop
from mixmerge.merge.methods.method import Method
from mixmerge.merge.methods.task_vectors import merge_sparse
from mixmerge.merge.streaming.tensor import Tensor, TileFunction


def merge(
    tensor: Tensor,
    *,
    weight: Sequence[float],
    density: Sequence[float],
    normalize: bool,
    rescale: bool,
    lambda_: float,
) -> TileFunction:
    """Return b + lambda times the agreeing part of the randomly thinned task vectors."""
    return merge_sparse(
        tensor,
        drop(tensor, density),
        weight=weight,
        normalize=normalize,
        rescale=rescale,
        lambda_=lambda_,
        elect=True,
    )


METHOD = Method(
    name="dare_ties",
    paper="Yu et al. 2024, arXiv:2311.03099, with the sign election of arXiv:2306.01708",
    parameters=PARAMETERS,
    merge=merge,
    base="required",
)
