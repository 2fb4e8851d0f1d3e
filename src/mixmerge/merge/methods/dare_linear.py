"""DARE: drop random elements of task vectors, rescale the rest, and add them to the base."""

from collections.abc import Sequence

from mixmerge.merge.kernels import Array
from mixmerge.merge.kernels.sparsify import keep_random, restore_magnitude
from mixmerge.merge.methods.method import Method, Tensors, number, switch, zero_weight_sum
from mixmerge.merge.methods.task_arithmetic import add_deltas

PARAMETERS = (
    number("weight", per_model=True),
    number("density", 1.0, per_model=True, bounds=(0.0, 1.0)),
    switch("normalize", False),
    switch("rescale", True),
    number("lambda", 1.0),
)


def drop(tensors: Tensors, density: Sequence[float], rescale: bool) -> list[Array]:
    """Return task vectors of which each element was kept with probability ``density``.

    ``rescale`` gives each its L1 norm back, as in mergekit; the paper divides by the density
    instead, which keeps every element's expectation.
    """
    dropped = []
    for position, (delta, kept) in enumerate(zip(tensors.deltas(), density, strict=True)):
        sparse = keep_random(delta, kept, tensors.random_bits(position))
        dropped.append(restore_magnitude(delta, sparse) if rescale else sparse)
    return dropped


def combine(
    tensors: Tensors,
    *,
    weight: Sequence[float],
    density: Sequence[float],
    normalize: bool,
    rescale: bool,
    lambda_: float,
) -> Array:
    """Return b + lambda sum_i w_i drop(x_i - b), the sum divided by sum_i w_i if ``normalize``."""
    return add_deltas(tensors, drop(tensors, density, rescale), weight, normalize, lambda_)


METHOD = Method(
    name="dare_linear",
    paper="Yu et al. 2024, Language models are super Mario, arXiv:2311.03099",
    parameters=PARAMETERS,
    combine=combine,
    needs_base=True,
    problem=zero_weight_sum,
)
