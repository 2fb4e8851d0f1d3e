"""Sums over the elements of two tiles that say how alike they are, in float64.

Sixteen sums run side by side, as in `reductions`, so that no result depends on the processor.
Counts are exact: a float64 holds every whole number up to 2^53.
"""

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.compiled import Kernel, kernel

_LANES = 16

Sums = npt.NDArray[np.float64]

DIFFERENCE = 3
"""Length of what `difference` returns."""
CONFLICT = 5
"""Length of what `conflict` returns."""


def difference(a: Array, b: Array) -> Sums:
    """Compare the weights of two models.

    Args:
        a: shape (count,).
        b: the same elements of the other model.

    Returns:
        Shape (`DIFFERENCE`,): the inner product, the squared distance, and how many elements
        differ.
    """
    return _sums(_add_difference, DIFFERENCE, a, b)


def conflict(d: Array, e: Array) -> Sums:
    """Compare two task vectors.

    Args:
        d: a model minus the base, shape (count,).
        e: the same elements of another model minus the base.

    Returns:
        Shape (`CONFLICT`,): the inner product; the number of elements that both move; the number
        that they move in opposite directions; the sum of |d| + |e|; the sum of |d + e|.
    """
    return _sums(_add_conflict, CONFLICT, d, e)


def _sums(add: Kernel[[Array, Array, Sums], None], count: int, a: Array, b: Array) -> Sums:
    rest = -a.size % _LANES
    if rest:  # zeros add nothing to any of the sums
        a, b = np.pad(a, (0, rest)), np.pad(b, (0, rest))
    lanes = np.zeros((count, _LANES), np.float64)
    add(a, b, lanes)
    # One after the other: `np.sum` may choose another order on another processor.
    totals: Sums = np.cumsum(lanes, axis=1)[:, -1]
    return totals


@kernel("void(float32[::1], float32[::1], float64[:, ::1])")
def _add_difference(a: Array, b: Array, lanes: Sums) -> None:
    # Bounds that are multiples of the lanes let the compiler see that no index leaves the array.
    product, square, unequal = lanes[0], lanes[1], lanes[2]
    for i in range(0, a.size - a.size % _LANES, _LANES):
        for lane in range(_LANES):
            x, y = np.float64(a[i + lane]), np.float64(b[i + lane])
            product[lane] += x * y
            square[lane] += (x - y) * (x - y)
            unequal[lane] += np.float64(x != y)


@kernel("void(float32[::1], float32[::1], float64[:, ::1])")
def _add_conflict(d: Array, e: Array, lanes: Sums) -> None:
    product, both, opposed, apart, together = lanes[0], lanes[1], lanes[2], lanes[3], lanes[4]
    for i in range(0, d.size - d.size % _LANES, _LANES):
        for lane in range(_LANES):
            x, y = np.float64(d[i + lane]), np.float64(e[i + lane])
            product[lane] += x * y
            both[lane] += np.float64((x != 0.0) & (y != 0.0))
            opposed[lane] += np.float64(x * y < 0.0)
            apart[lane] += abs(x) + abs(y)
            together[lane] += abs(x + y)
