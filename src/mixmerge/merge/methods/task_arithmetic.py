"""Task arithmetic: the base plus a weighted sum of task vectors."""

import math
from collections.abc import Sequence

from mixmerge.merge.kernels import Array
from mixmerge.merge.kernels.interpolate import weighted_sum
from mixmerge.merge.methods.method import Method, Tensors, number, switch, zero_weight_sum


def combine(tensors: Tensors, *, weight: Sequence[float], normalize: bool, lambda_: float) -> Array:
    """Return b + lambda sum_i w_i (x_i - b); the sum is divided by sum_i w_i if ``normalize``."""
    return add_deltas(tensors, tensors.deltas(), weight, normalize, lambda_)


def add_deltas(
    tensors: Tensors,
    deltas: Sequence[Array],
    weight: Sequence[float],
    normalize: bool,
    lambda_: float,
) -> Array:
    """Return the base plus the weighted sum of task vectors that may have been sparsified."""
    scale = lambda_ / math.fsum(weight) if normalize else lambda_
    return tensors.base + weighted_sum(deltas, [share * scale for share in weight])


METHOD = Method(
    name="task_arithmetic",
    paper="Ilharco et al. 2023, Editing models with task arithmetic, arXiv:2212.04089",
    parameters=(
        number("weight", per_model=True),
        switch("normalize", False),
        number("lambda", 1.0),
    ),
    combine=combine,
    needs_base=True,
    problem=zero_weight_sum,
)
