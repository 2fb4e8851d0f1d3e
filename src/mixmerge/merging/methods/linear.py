"""Weighted sums: linear, task arithmetic, and passthrough of one model."""

import math
from collections.abc import Sequence

import numpy as np

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.linear_algebra import weighted_sum
from mixmerge.merging.methods.combine import combination
from mixmerge.merging.methods.method import Method, number, switch, zero_weight_sum
from mixmerge.merging.streaming.tensor import Tensor, Tile, TileFunction


def linear(
    tensor: Tensor,  # noqa: ARG001
    *,
    weight: Sequence[float],
    normalize: bool,
) -> TileFunction:
    """Return sum_i w_i x_i, divided by sum_i w_i if ``normalize``."""
    shares = shares_of_mean(weight, normalize)
    return lambda tile: weighted_sum(tile.models, shares)


def shares_of_mean(weight: Sequence[float], normalize: bool) -> list[float]:
    """Return the weights of `linear`."""
    total = math.fsum(weight) if normalize else 1.0
    return [share / total for share in weight]


def task_arithmetic(
    tensor: Tensor,  # noqa: ARG001
    *,
    weight: Sequence[float],
    normalize: bool,
    lambda_: float,
) -> TileFunction:
    """Return b + lambda sum_i w_i (x_i - b); the sum is divided by sum_i w_i if ``normalize``."""
    return combination(shares_of_changes(weight, normalize, lambda_))


def shares_of_changes(weight: Sequence[float], normalize: bool, lambda_: float) -> list[float]:
    """Return the weights of `task_arithmetic`."""
    scale = lambda_ / math.fsum(weight) if normalize else lambda_
    return [share * scale for share in weight]


def passthrough(tensor: Tensor, *, scale: Sequence[float]) -> TileFunction:  # noqa: ARG001
    """Return x times ``scale``."""
    factor = np.float32(scale[0])

    def scaled(tile: Tile) -> Array:
        model: Array = tile.models[0]
        model *= factor
        return model

    return scaled


def shares_as_given(scale: Sequence[float]) -> list[float]:
    """Return the weight of `passthrough`."""
    return list(scale)


METHODS = (
    Method(
        name="linear",
        paper="Wortsman et al. 2022, Model soups, arXiv:2203.05482",
        parameters=(number("weight", per_model=True), switch("normalize", True)),
        merge=linear,
        problem=zero_weight_sum,
        shares=shares_of_mean,
    ),
    Method(
        name="task_arithmetic",
        paper="Ilharco et al. 2023, Editing models with task arithmetic, arXiv:2212.04089",
        parameters=(
            number("weight", per_model=True),
            switch("normalize", False),
            number("lambda", 1.0),
        ),
        merge=task_arithmetic,
        base="required",
        problem=zero_weight_sum,
        shares=shares_of_changes,
    ),
    Method(
        name="passthrough",
        paper="mergekit",
        parameters=(number("scale", 1.0, per_model=True),),
        merge=passthrough,
        models=(1, 1),
        shares=shares_as_given,
    ),
)
