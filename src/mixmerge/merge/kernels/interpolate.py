"""Along straight lines and along great circles."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mixmerge.merge.kernels import Array
from mixmerge.merge.kernels.compiled import kernel

_SMALLEST_NORM = 1e-8
_SMALLEST_SINE = 1e-6


def weighted_sum(tensors: Array, weights: Sequence[float] | npt.NDArray[np.float64]) -> Array:
    """Return sum_i w_i x_i, added in the given order, shape (count,).

    Args:
        tensors: shape (models, count).
        weights: one for each.
    """
    out = np.empty(tensors.shape[1], np.float32)
    add_weighted(tensors, np.asarray(weights, np.float32), out)
    return out


@kernel("void(float32[:, ::1], float32[::1], float32[::1])")
def add_weighted(tensors: Array, weights: Array, out: Array) -> None:
    """Write sum_i w_i x_i into ``out``."""
    for i in range(out.size):
        out[i] = weights[0] * tensors[0, i]
    for model in range(1, weights.size):
        weight = weights[model]
        for i in range(out.size):
            out[i] += weight * tensors[model, i]


def cosine(products: npt.NDArray[np.float64]) -> float:
    """Return the cosine of the angle between two vectors, in [-1, 1].

    A vector with a norm of at most 1e-8 is not normalised, as in mergekit: zeros are perpendicular
    to everything.

    Args:
        products: their inner products, shape (2, 2).
    """
    norms = [math.sqrt(products[i, i]) for i in range(2)]
    scale = math.prod(norm if norm > _SMALLEST_NORM else 1.0 for norm in norms)
    return min(1.0, max(-1.0, products[0, 1] / scale))


def slerp_weights(cosine: float, t: float, dot_threshold: float) -> tuple[float, float]:
    """Return the weights of two vectors in their spherical interpolation.

        sin((1 - t) W) / sin W,   sin(t W) / sin W,   W the angle between them

    (Shoemake 1985, equation of section 3.3; for the vectors themselves, not their directions.)
    Where the absolute cosine exceeds ``dot_threshold``, or W has no direction because they are
    collinear to the last digits, the weights are those of the straight line: 1 - t and t.
    """
    angle = math.acos(cosine)
    if abs(cosine) > dot_threshold or math.sin(angle) < _SMALLEST_SINE:
        return 1.0 - t, t
    return math.sin((1.0 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)
