"""Keep a part of a task vector and set the rest to zero."""

import numpy as np
import numpy.typing as npt

from mixmerge.merge.kernels import Array
from mixmerge.merge.kernels.compiled import kernel

_SMALLEST_TOTAL = 1e-7


def how_many(density: float, size: int) -> int:
    """Return how many of ``size`` elements a density keeps: int(density * size), at least one.

    A density of 0 keeps none, one of 1 all.
    """
    if density <= 0.0:
        return 0
    return size if density >= 1.0 else max(1, int(density * size))


def keep_random(values: Array, density: float, bits: npt.NDArray[np.uint32]) -> None:
    """Set to zero, in place, all but a random share of the elements.

    Args:
        values: shape (count,).
        density: the probability with which each element is kept, in [0, 1].
        bits: 32 random bits for each element.
    """
    if density < 1.0:
        _keep_below(values, bits, int(density * 2.0**32))


@kernel("void(float32[::1], uint32[::1], uint32)")
def _keep_below(values: Array, bits: npt.NDArray[np.uint32], limit: int) -> None:
    for i in range(values.size):
        values[i] = values[i] if bits[i] < limit else np.float32(0)


def restoring_scale(before: float, after: float) -> float:
    """Return the factor that gives a sparse task vector the L1 norm it had before.

    1 where either norm is below 1e-7, as in mergekit.
    """
    return 1.0 if min(before, after) < _SMALLEST_TOTAL else before / after
