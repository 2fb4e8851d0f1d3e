"""Linear: the weighted mean of the models' weights."""

import math
from collections.abc import Sequence

from mixmerge.merge.kernels import Array
from mixmerge.merge.kernels.interpolate import weighted_sum
from mixmerge.merge.methods.method import Method, Tensors, number, switch, zero_weight_sum


def combine(tensors: Tensors, *, weight: Sequence[float], normalize: bool) -> Array:
    """Return sum_i w_i x_i, divided by sum_i w_i if ``normalize``."""
    total = math.fsum(weight) if normalize else 1.0
    return weighted_sum(tensors.models, [share / total for share in weight])


METHOD = Method(
    name="linear",
    paper="Wortsman et al. 2022, Model soups, arXiv:2203.05482",
    parameters=(number("weight", per_model=True), switch("normalize", True)),
    combine=combine,
    problem=zero_weight_sum,
)
