"""Linear: the weighted mean of the models' weights."""

import math
from collections.abc import Sequence

from mixmerge.merging.kernels.interpolate import weighted_sum
from mixmerge.merging.methods.method import Method, number, switch, zero_weight_sum
from mixmerge.merging.streaming.tensor import Tensor, TileFunction


def merge(
    tensor: Tensor,  # noqa: ARG001
    *,
    weight: Sequence[float],
    normalize: bool,
) -> TileFunction:
    """Return sum_i w_i x_i, divided by sum_i w_i if ``normalize``."""
    total = math.fsum(weight) if normalize else 1.0
    shares = [share / total for share in weight]
    return lambda tile: weighted_sum(tile.models, shares)


METHOD = Method(
    name="linear",
    paper="Wortsman et al. 2022, Model soups, arXiv:2203.05482",
    parameters=(number("weight", per_model=True), switch("normalize", True)),
    merge=merge,
    problem=zero_weight_sum,
)
