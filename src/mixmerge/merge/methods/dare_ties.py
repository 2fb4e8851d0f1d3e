"""DARE-TIES: drop random elements of task vectors, rescale the rest, elect signs, merge."""

from collections.abc import Sequence

from mixmerge.merge.kernels import Array
from mixmerge.merge.methods.dare_linear import PARAMETERS, drop
from mixmerge.merge.methods.method import Method, Tensors
from mixmerge.merge.methods.ties import elect_and_add


def combine(
    tensors: Tensors,
    *,
    weight: Sequence[float],
    density: Sequence[float],
    normalize: bool,
    rescale: bool,
    lambda_: float,
) -> Array:
    """Return b + lambda times the agreeing part of the randomly thinned task vectors."""
    return elect_and_add(tensors, drop(tensors, density, rescale), weight, normalize, lambda_)


METHOD = Method(
    name="dare_ties",
    paper="Yu et al. 2024, arXiv:2311.03099, with the sign election of arXiv:2306.01708",
    parameters=PARAMETERS,
    combine=combine,
    needs_base=True,
)
