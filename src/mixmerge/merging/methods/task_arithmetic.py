"""Task arithmetic: the base plus a weighted sum of task vectors."""

import math
from collections.abc import Sequence

from mixmerge.merging.methods.method import Method, number, switch, zero_weight_sum
from mixmerge.merging.methods.span import combination
from mixmerge.merging.streaming.tensor import Tensor, TileFunction


def merge(
    tensor: Tensor,  # noqa: ARG001
    *,
    weight: Sequence[float],
    normalize: bool,
    lambda_: float,
) -> TileFunction:
    """Return b + lambda sum_i w_i (x_i - b); the sum is divided by sum_i w_i if ``normalize``."""
    scale = lambda_ / math.fsum(weight) if normalize else lambda_
    return combination([share * scale for share in weight])


METHOD = Method(
    name="task_arithmetic",
    paper="Ilharco et al. 2023, Editing models with task arithmetic, arXiv:2212.04089",
    parameters=(
        number("weight", per_model=True),
        switch("normalize", False),
        number("lambda", 1.0),
    ),
    merge=merge,
    base="required",
    problem=zero_weight_sum,
)
