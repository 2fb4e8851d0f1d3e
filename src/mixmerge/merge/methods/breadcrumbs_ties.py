"""Breadcrumbs with the sign election of TIES."""

from collections.abc import Sequence

from mixmerge.merge.methods.breadcrumbs import PARAMETERS, keep_middle
from mixmerge.merge.methods.method import Method
from mixmerge.merge.methods.task_vectors import merge_sparse
from mixmerge.merge.streaming.tensor import Tensor, TileFunction


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
    """Return b + lambda times the agreeing part of the trimmed task vectors."""
    return merge_sparse(
        tensor,
        keep_middle(tensor, density, gamma),
        weight=weight,
        normalize=normalize,
        rescale=rescale,
        lambda_=lambda_,
        elect=True,
    )


METHOD = Method(
    name="breadcrumbs_ties",
    paper="Davari & Belilovsky 2024, arXiv:2312.06795, with the sign election of arXiv:2306.01708",
    parameters=PARAMETERS,
    merge=merge,
    base="required",
)
