"""SLERP: from one model to another along the great circle between their weights."""

import math
from collections.abc import Sequence

from mixmerge.merge.kernels import Array
from mixmerge.merge.kernels.interpolate import slerp
from mixmerge.merge.methods.method import Method, Tensors, number, zero_weight_sum


def combine(tensors: Tensors, *, weight: Sequence[float], dot_threshold: float) -> Array:
    """Return the point at t = w_1 / (w_0 + w_1): the first model at 0, the second at 1.

    Fine-tunes of one base are often so nearly parallel (cosine above ``dot_threshold``) that
    the straight line is taken instead; 1 asks for the circle always.
    """
    first, second = tensors.models
    return slerp(first, second, weight[1] / math.fsum(weight), dot_threshold)


METHOD = Method(
    name="slerp",
    paper="Shoemake 1985, Animating rotation with quaternion curves, doi:10.1145/325165.325242",
    parameters=(
        number("weight", per_model=True),
        number("dot_threshold", 0.9995, bounds=(0.0, 1.0)),
    ),
    combine=combine,
    models=(2, 2),
    problem=zero_weight_sum,
)
