"""Sums over all elements of tensors, the same for any number of threads.

A product of two float32 numbers is exact in float64. Tiles of fixed size are added pairwise by
NumPy and their totals exactly, so the result does not depend on a BLAS library.
"""

import math

import numpy as np

from mixmerge.merge.kernels import Array

_TILE = 1 << 16


def dot(a: Array, b: Array) -> float:
    """Return the inner product of two tensors of the same shape, in float64."""
    x, y = a.reshape(-1), b.reshape(-1)
    return math.fsum(
        float(np.sum(np.multiply(x[i : i + _TILE], y[i : i + _TILE], dtype=np.float64)))
        for i in range(0, x.size, _TILE)
    )


def norm(a: Array) -> float:
    """Return the Euclidean norm of a tensor, in float64."""
    return math.sqrt(dot(a, a))


def total_magnitude(a: Array) -> float:
    """Return the sum of absolute values (L1 norm) of a tensor, in float64."""
    x = a.reshape(-1)
    return math.fsum(
        float(np.sum(np.abs(x[i : i + _TILE]), dtype=np.float64)) for i in range(0, x.size, _TILE)
    )
