"""Weighted sums of tensors, and inner products.

Sums over elements are float64: products of two float32 numbers are exact in it, and so are counts
up to 2^53. Many partial sums (lanes) run side by side, which fills the widest vector registers, and
are added at the end in the same order on every processor; a BLAS would not keep the order.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array, Kernel, kernel

Sums = npt.NDArray[np.float64]

_LANES = 256  # part of the result: changing it changes the last bits of merges
_LANES_OF_COMPARISONS = 16
_SMALLEST_NORM = 1e-8
_SMALLEST_SINE = 1e-6

DIFFERENCE = 3
"""Length of what `difference` returns."""
CONFLICT = 5
"""Length of what `conflict` returns."""


def weighted_sum(tensors: Array, weights: Sequence[float] | Sums) -> Array:
    """Return sum_i w_i x_i, added in order, shape (count,)."""
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


def add_low_rank(out: Array, left: Array, right: Array, scale: float) -> None:
    """Add ``scale * left @ right`` to ``out``; each sum is float32, in the order of the rank.

    So the bytes are the same on every processor and for every tile size. The shapes are (rows,
    columns), (rows, rank) and (rank, columns), all contiguous.
    """
    _add_low_rank(out, left, right, scale, np.empty(out.shape[1], np.float32))


@kernel("void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32, float32[::1])")
def _add_low_rank(out: Array, left: Array, right: Array, scale: float, total: Array) -> None:
    for row in range(out.shape[0]):
        total[:] = np.float32(0)
        for inner in range(left.shape[1]):
            weight = left[row, inner]
            for column in range(total.size):
                total[column] += weight * right[inner, column]
        for column in range(total.size):
            out[row, column] += scale * total[column]


def dot(a: Array, b: Array) -> float:
    """Return the inner product of two arrays of the same size."""
    return float(row_dots(a[None], b[None])[0])


def row_dots(a: Array, b: Array) -> Sums:
    """Return the inner products of corresponding rows of two matrices, shape (rows,)."""
    out = np.empty(len(a), np.float64)
    _row_dots(a, b, np.empty(_LANES, np.float64), out)
    return out


def row_products(vectors: Array) -> Sums:
    """Return the inner products of all pairs of vectors (their Gram matrix), row by row.

    From (vectors, rows, columns), contiguous, to (vectors, vectors, rows).
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


def length(shares: Sums, products: Sums) -> float:
    """Return the norm of a weighted sum of vectors, given their Gram matrix."""
    return math.sqrt(max(0.0, float(shares @ products @ shares)))


def cosine(products: Sums) -> Sums:
    """Return the cosine between two vectors, or between many pairs.

    From inner products, shape (2, 2) or (2, 2, pairs), to shape () or (pairs,). A vector with a
    norm of at most 1e-8 is not normalised, as in mergekit: a zero vector is perpendicular to
    everything.
    """
    norms = np.sqrt(products[[0, 1], [0, 1]])
    norms = np.where(norms > _SMALLEST_NORM, norms, 1.0)
    cosines: Sums = np.clip(products[0, 1] / (norms[0] * norms[1]), -1.0, 1.0)
    return cosines


def slerp_weights(cosine: Sums, t: float, dot_threshold: float) -> Sums:
    """Return the weights of two vectors in their spherical interpolation.

        sin((1 - t) W) / sin W,   sin(t W) / sin W,   W the angle between them

    (Shoemake 1985, section 3.3; for the vectors themselves, not their directions.) Where the
    absolute cosine exceeds ``dot_threshold``, or the vectors are collinear up to rounding, the
    weights are linear: 1 - t and t. From the cosine of W, shape () or (pairs,), to shape (2,) or
    (2, pairs).
    """
    angle = np.arccos(cosine)
    straight = (np.abs(cosine) > dot_threshold) | (np.sin(angle) < _SMALLEST_SINE)
    sine = np.where(straight, 1.0, np.sin(angle))
    parts = 1.0 - t, t
    return np.stack([np.where(straight, part, np.sin(part * angle) / sine) for part in parts])


def difference(a: Array, b: Array) -> Sums:
    """Compare the same elements of two models.

    Returns:
        Shape (`DIFFERENCE`,): the inner product, the squared distance, and the number of elements
        that differ.
    """
    return _sums(_add_difference, DIFFERENCE, a, b)


def conflict(d: Array, e: Array) -> Sums:
    """Compare the same elements of two task vectors.

    Returns:
        Shape (`CONFLICT`,): the inner product; the number of elements that both change; the number
        that they change in opposite directions; the sum of |d| + |e|; the sum of |d + e|.
    """
    return _sums(_add_conflict, CONFLICT, d, e)


def _sums(add: Kernel[[Array, Array, Sums], None], count: int, a: Array, b: Array) -> Sums:
    rest = -a.size % _LANES_OF_COMPARISONS
    if rest:  # zeros add nothing to any of the sums
        a, b = np.pad(a, (0, rest)), np.pad(b, (0, rest))
    lanes = np.zeros((count, _LANES_OF_COMPARISONS), np.float64)
    add(a, b, lanes)
    # `cumsum` adds in sequence; the order of `np.sum` depends on the processor.
    totals: Sums = np.cumsum(lanes, axis=1)[:, -1]
    return totals


@kernel("void(float32[::1], float32[::1], float64[:, ::1])")
def _add_difference(a: Array, b: Array, lanes: Sums) -> None:
    # A bound that is a multiple of the lanes lets the compiler drop bounds checks and vectorise.
    product, square, unequal = lanes[0], lanes[1], lanes[2]
    for i in range(0, a.size - a.size % _LANES_OF_COMPARISONS, _LANES_OF_COMPARISONS):
        for lane in range(_LANES_OF_COMPARISONS):
            x, y = np.float64(a[i + lane]), np.float64(b[i + lane])
            product[lane] += x * y
            square[lane] += (x - y) * (x - y)
            unequal[lane] += np.float64(x != y)


@kernel("void(float32[::1], float32[::1], float64[:, ::1])")
def _add_conflict(d: Array, e: Array, lanes: Sums) -> None:
    product, both, opposed, apart, together = lanes[0], lanes[1], lanes[2], lanes[3], lanes[4]
    for i in range(0, d.size - d.size % _LANES_OF_COMPARISONS, _LANES_OF_COMPARISONS):
        for lane in range(_LANES_OF_COMPARISONS):
            x, y = np.float64(d[i + lane]), np.float64(e[i + lane])
            product[lane] += x * y
            both[lane] += np.float64((x != 0.0) & (y != 0.0))
            opposed[lane] += np.float64(x * y < 0.0)
            apart[lane] += abs(x) + abs(y)
            together[lane] += abs(x + y)
