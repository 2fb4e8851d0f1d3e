"""Between tensors: along straight lines and along great circles."""

import math
from collections.abc import Sequence

from mixmerge.merge.kernels import Array
from mixmerge.merge.kernels.reductions import dot, norm

_SMALLEST_NORM = 1e-8
_SMALLEST_SINE = 1e-6


def weighted_sum(tensors: Sequence[Array], weights: Sequence[float]) -> Array:
    """Return sum_i w_i x_i of tensors of one shape, added in the given order."""
    total = weights[0] * tensors[0]
    for tensor, weight in zip(tensors[1:], weights[1:], strict=True):
        total += weight * tensor
    return total


def lerp(a: Array, b: Array, t: float) -> Array:
    """Return (1 - t) a + t b for two tensors of one shape."""
    return weighted_sum((a, b), (1.0 - t, t))


def cosine(a: Array, b: Array) -> float:
    """Return the cosine of the angle between two flattened tensors, in [-1, 1].

    A tensor with a norm of at most 1e-8 is not normalised, as in mergekit: all zeros are
    perpendicular to everything.
    """
    scale = 1.0
    for length in (norm(a), norm(b)):
        scale *= length if length > _SMALLEST_NORM else 1.0
    return min(1.0, max(-1.0, dot(a, b) / scale))


def slerp(a: Array, b: Array, t: float, dot_threshold: float) -> Array:
    """Return the spherical interpolation of two flattened tensors of one shape.

        sin((1 - t) W) / sin W * a + sin(t W) / sin W * b,   W the angle between a and b

    (Shoemake 1985, equation of section 3.3; on the tensors themselves, not on unit vectors.)
    Where the absolute cosine exceeds ``dot_threshold``, or W has no direction because a and b are
    collinear to the last digits, the result is `lerp` instead.
    """
    angle = math.acos(cosine(a, b))
    if abs(math.cos(angle)) > dot_threshold or math.sin(angle) < _SMALLEST_SINE:
        return lerp(a, b, t)
    weights = math.sin((1.0 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
    return weighted_sum((a, b), weights)
