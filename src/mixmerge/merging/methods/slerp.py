"""SLERP: from one model to another along the great circle between their weights."""

import math
from collections.abc import Sequence

from mixmerge.merging.kernels.interpolate import cosine, slerp_weights
from mixmerge.merging.methods.method import Method, number, zero_weight_sum
from mixmerge.merging.methods.span import combination, vectors
from mixmerge.merging.streaming.tensor import Tensor, TileFunction


def merge(tensor: Tensor, *, weight: Sequence[float], dot_threshold: float) -> TileFunction:
    """Return the point at t = w_1 / (w_0 + w_1): the first model at 0, the second at 1.

    Fine-tunes of one base are often so nearly parallel (cosine above ``dot_threshold``) that
    the straight line is taken instead; 1 asks for the circle always.
    """
    t = weight[1] / math.fsum(weight)
    return combination(slerp_weights(cosine(tensor.products(vectors)), t, dot_threshold))


METHOD = Method(
    name="slerp",
    paper="Shoemake 1985, Animating rotation with quaternion curves, doi:10.1145/325165.325242",
    parameters=(
        # Together they are one number, mergekit's t, so both must follow the same rule.
        number("weight", per_model=True, by_output=True),
        number("dot_threshold", 0.9995, bounds=(0.0, 1.0)),
    ),
    merge=merge,
    models=(2, 2),
    problem=zero_weight_sum,
)
