"""Sums over the elements of a tile, in float64.

A product of two float32 numbers is exact in float64. Many sums run side by side, which fills the
widest registers, and are added at the end, in the same order on every processor.
"""

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.compiled import kernel

_LANES = 256

Sums = npt.NDArray[np.float64]


def dot(a: Array, b: Array) -> float:
    """Return the inner product of two arrays of the same size."""
    return float(row_dots(a[None], b[None])[0])


def row_dots(a: Array, b: Array) -> npt.NDArray[np.float64]:
    """Return the inner products of corresponding rows.

    Args:
        a: shape (rows, columns), contiguous.
        b: of the same shape.

    Returns:
        Shape (rows,).
    """
    out = np.empty(len(a), np.float64)
    _row_dots(a, b, np.empty(_LANES, np.float64), out)
    return out


def row_products(vectors: Array) -> npt.NDArray[np.float64]:
    """Return the inner products of all pairs of vectors (their Gram matrix), row by row.

    Args:
        vectors: shape (vectors, rows, columns), contiguous.

    Returns:
        Shape (vectors, vectors, rows).
    """
    count, rows = vectors.shape[:2]
    out = np.empty((count, count, rows), np.float64)
    for i in range(count):
        for j in range(i + 1):
            out[i, j] = out[j, i] = row_dots(vectors[i], vectors[j])
    return out


@kernel("void(float32[:, ::1], float32[:, ::1], float64[::1], float64[::1])")
def _row_dots(a: Array, b: Array, lanes: Sums, out: Sums) -> None:
    rows, columns = a.shape
    whole = columns - columns % _LANES
    for row in range(rows):
        lanes[:] = 0
        for i in range(0, whole, _LANES):
            for lane in range(_LANES):
                lanes[lane] += np.float64(a[row, i + lane]) * np.float64(b[row, i + lane])
        for i in range(whole, columns):
            lanes[i - whole] += np.float64(a[row, i]) * np.float64(b[row, i])
        total = 0.0
        for lane in range(_LANES):
            total += lanes[lane]
        out[row] = total


def magnitude(a: Array) -> float:
    """Return the sum of absolute values (the L1 norm)."""
    return _magnitude(a, np.zeros(_LANES, np.float64))


@kernel("float64(float32[::1], float64[::1])")
def _magnitude(a: Array, lanes: Sums) -> float:
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
