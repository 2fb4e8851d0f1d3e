"""Along straight lines and along great circles."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.compiled import kernel

Float64 = npt.NDArray[np.float64]

_SMALLEST_NORM = 1e-8
_SMALLEST_SINE = 1e-6


def weighted_sum(tensors: Array, weights: Sequence[float] | Float64) -> Array:
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


def length(shares: Float64, products: Float64) -> float:
    """Return the norm of a weighted sum of vectors.

    Args:
        shares: by what each vector is multiplied, shape (vectors,).
        products: their inner products, shape (vectors, vectors).
    """
    return math.sqrt(max(0.0, float(shares @ products @ shares)))


def cosine(products: Float64) -> Float64:
    """Return the cosine of the angle between two vectors, or between many pairs of them.

    A vector with a norm of at most 1e-8 is not normalised, as in mergekit: zeros are perpendicular
    to everything.

    Args:
        products: their inner products, shape (2, 2) or (2, 2, pairs).

    Returns:
        In [-1, 1], shape () or (pairs,).
    """
    norms = np.sqrt(products[[0, 1], [0, 1]])
    norms = np.where(norms > _SMALLEST_NORM, norms, 1.0)
    cosines: Float64 = np.clip(products[0, 1] / (norms[0] * norms[1]), -1.0, 1.0)
    return cosines


def slerp_weights(cosine: Float64, t: float, dot_threshold: float) -> Float64:
    """Return the weights of two vectors in their spherical interpolation.

        sin((1 - t) W) / sin W,   sin(t W) / sin W,   W the angle between them

    (Shoemake 1985, equation of section 3.3; for the vectors themselves, not their directions.)
    Where the absolute cosine exceeds ``dot_threshold``, or W has no direction because they are
    collinear to the last digits, the weights are those of the straight line: 1 - t and t.

    Args:
        cosine: of W, shape () or (pairs,).
        t: 0 is the first vector, 1 the second.
        dot_threshold: from 0 to 1.

    Returns:
        Shape (2,) or (2, pairs).
    """
    angle = np.arccos(cosine)
    straight = (np.abs(cosine) > dot_threshold) | (np.sin(angle) < _SMALLEST_SINE)
    sine = np.where(straight, 1.0, np.sin(angle))
    parts = 1.0 - t, t
    return np.stack([np.where(straight, part, np.sin(part * angle) / sine) for part in parts])
