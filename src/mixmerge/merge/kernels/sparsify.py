"""Keep a part of a task vector and set the rest to zero."""

import numpy as np
import numpy.typing as npt

from mixmerge.merge.kernels import Array
from mixmerge.merge.kernels.reductions import total_magnitude

_SMALLEST_TOTAL = 1e-7


def keep_largest(delta: Array, density: float) -> Array:
    """Keep the int(density * n) largest of n magnitudes, at least one; none for density 0.

    Equal magnitudes at the threshold are kept in the order of their position (row-major).
    """
    if density >= 1.0:
        return delta
    if density <= 0.0:
        return np.zeros_like(delta)
    magnitude = np.abs(delta).reshape(-1)
    count = max(1, int(density * magnitude.size))
    threshold = np.partition(magnitude, magnitude.size - count)[magnitude.size - count]
    keep = magnitude > threshold
    tied = np.flatnonzero(magnitude == threshold)
    keep[tied[: count - np.count_nonzero(keep)]] = True
    return np.where(keep.reshape(delta.shape), delta, np.float32(0))


def keep_random(delta: Array, density: float, bits: npt.NDArray[np.uint32]) -> Array:
    """Keep each element with probability ``density``; ``bits`` holds 32 random bits for each."""
    if density >= 1.0:
        return delta
    keep = bits.reshape(delta.shape) < np.uint32(density * 2.0**32)
    return np.where(keep, delta, np.float32(0))


def restore_magnitude(before: Array, after: Array) -> Array:
    """Scale ``after`` so that its L1 norm is that of ``before``.

    Left alone where either norm is below 1e-7, as in mergekit.
    """
    wanted, seen = total_magnitude(before), total_magnitude(after)
    if min(wanted, seen) < _SMALLEST_TOTAL:
        return after
    return (wanted / seen) * after
