"""Sums over the elements of a tile, in float64.

A product of two float32 numbers is exact in float64. Sixteen sums run side by side and are added
at the end, in the same order on every processor.
"""

import numpy as np

from mixmerge.merge.kernels import Array
from mixmerge.merge.kernels.compiled import kernel

_LANES = 16


@kernel("float64(float32[::1], float32[::1])")
def dot(a: Array, b: Array) -> float:
    """Return the inner product of two arrays of the same size."""
    lanes = np.zeros(_LANES, np.float64)
    whole = a.size - a.size % _LANES
    for i in range(0, whole, _LANES):
        for lane in range(_LANES):
            lanes[lane] += np.float64(a[i + lane]) * np.float64(b[i + lane])
    for i in range(whole, a.size):
        lanes[i - whole] += np.float64(a[i]) * np.float64(b[i])
    total = 0.0
    for lane in range(_LANES):
        total += lanes[lane]
    return total


@kernel("float64(float32[::1])")
def magnitude(a: Array) -> float:
    """Return the sum of absolute values (the L1 norm)."""
    lanes = np.zeros(_LANES, np.float64)
    whole = a.size - a.size % _LANES
    for i in range(0, whole, _LANES):
        for lane in range(_LANES):
            lanes[lane] += np.float64(abs(a[i + lane]))
    for i in range(whole, a.size):
        lanes[i - whole] += np.float64(abs(a[i]))
    total = 0.0
    for lane in range(_LANES):
        total += lanes[lane]
    return total
