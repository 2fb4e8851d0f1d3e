"""Select the k largest of many numbers without sorting.

The order is total: larger magnitudes first, and of equal ones the earlier element. A float32's bits
without the sign order its magnitude, so a first count by the upper half of the bits and a second by
the lower half give the k-th key exactly (radix selection).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array, kernel
from mixmerge.merging.kernels.rounding import Bits

Counts = npt.NDArray[np.int64]

HIGH, LOW = 1 << 16, 1 << 15
"""Bins of the first and the second count: 16 and 15 of the 31 bits below the sign."""

_BLOCK = 512
"""Differences computed at a time: they stay in the L1 cache."""


class Difference(NamedTuple):
    """Keys that are float32 differences of bfloat16 numbers, counted without being stored."""

    stored: Bits
    """Shape (count,)."""
    minus: Bits
    """What is subtracted, of the same shape."""


Keys = Array | Difference
"""Numbers whose magnitudes rank elements; no NaN. Arrays have shape (count,), contiguous."""


def values_of(keys: Keys) -> Array:
    """Return keys as an array, shape (count,)."""
    if not isinstance(keys, Difference):
        return keys
    values = np.empty(keys.stored.size, np.float32)
    subtract_bfloat16(*keys, values)
    return values


@dataclass(frozen=True)
class Cut:
    """The first k elements of a tensor in descending order of the magnitudes of their keys."""

    key: float
    """Larger magnitudes are selected, smaller ones are not."""
    end: int
    """Of magnitudes equal to ``key``, those of elements before this one are selected."""

    def keep(self, values: Array, start: int, keys: Array | None = None) -> None:
        """Zero the other elements of a tile that starts at ``start``.

        The values are their own keys unless ``keys`` are given.
        """
        ties = max(0, self.end - start)
        if keys is None:
            keep_larger(values, np.float32(self.key), ties)
        else:
            keep_where_larger(values, keys, np.float32(self.key), ties)

    def drop(self, values: Array, start: int) -> None:
        """Zero the selected elements of a tile; they are their own keys."""
        drop_larger(values, np.float32(self.key), max(0, self.end - start))


EVERYTHING = Cut(-1.0, 0)
NOTHING = Cut(float("inf"), 0)


def cut_of(keys: Array, count: int) -> Cut:
    """Return the cut after the ``count`` largest of a few keys, shape (size,)."""
    sizes = np.abs(keys)
    place = sizes.size - count
    key = np.partition(sizes, place)[place]
    ties = count - int(np.count_nonzero(sizes > key))
    return Cut(float(key), int(np.flatnonzero(sizes == key)[ties - 1]) + 1)


def count_high(keys: Keys, counts: Counts) -> None:
    """Count magnitudes by their upper bits, adding to ``counts`` (`HIGH`)."""
    if isinstance(keys, Difference):
        _count_high_of_difference(*keys, np.empty(_BLOCK, np.float32), counts)
    else:
        _count_high(keys, counts)


def count_low(keys: Keys, high: int, counts: Counts) -> None:
    """Count magnitudes with these upper bits by their lower bits, adding to ``counts`` (`LOW`)."""
    if isinstance(keys, Difference):
        _count_low_of_difference(*keys, high, np.empty(_BLOCK, np.float32), counts)
    else:
        _count_low(keys, high, counts)


@kernel("void(uint16[::1], uint16[::1], float32[::1])")
def subtract_bfloat16(stored: Bits, minus: Bits, out: Array) -> None:
    """Write the float32 difference of two bfloat16 tensors."""
    for i in range(out.size):
        a = np.uint32(np.uint32(stored[i]) << np.uint32(16))
        b = np.uint32(np.uint32(minus[i]) << np.uint32(16))
        out[i] = a.view(np.float32) - b.view(np.float32)


@kernel("void(float32[::1], int64[::1])")
def _count_high(keys: Array, counts: Counts) -> None:
    bits = keys.view(np.uint32)
    for i in range(bits.size):
        counts[(bits[i] >> np.uint32(15)) & np.uint32(0xFFFF)] += 1


@kernel("void(float32[::1], uint32, int64[::1])")
def _count_low(keys: Array, high: int, counts: Counts) -> None:
    bits = keys.view(np.uint32)
    for i in range(bits.size):
        if (bits[i] >> np.uint32(15)) & np.uint32(0xFFFF) == high:
            counts[bits[i] & np.uint32(0x7FFF)] += 1


@kernel("void(uint16[::1], uint16[::1], float32[::1], int64[::1])")
def _count_high_of_difference(stored: Bits, minus: Bits, room: Array, counts: Counts) -> None:
    for start in range(0, stored.size, room.size):
        a, b = stored[start : start + room.size], minus[start : start + room.size]
        subtract_bfloat16(a, b, room[: a.size])
        _count_high(room[: a.size], counts)


@kernel("void(uint16[::1], uint16[::1], uint32, float32[::1], int64[::1])")
def _count_low_of_difference(
    stored: Bits, minus: Bits, high: int, room: Array, counts: Counts
) -> None:
    for start in range(0, stored.size, room.size):
        a, b = stored[start : start + room.size], minus[start : start + room.size]
        subtract_bfloat16(a, b, room[: a.size])
        _count_low(room[: a.size], high, counts)


def key_of(high: int, low: int) -> float:
    """Return the magnitude with these upper and lower bits."""
    return float(np.array([(high << 15) | low], np.uint32).view(np.float32)[0])


@kernel("void(float32[::1], float32, int64)")
def keep_larger(values: Array, key: np.float32, ties: int) -> None:
    """Zero values smaller than ``key`` in magnitude, or equal to it from position ``ties`` on."""
    for i in range(values.size):
        size = abs(values[i])
        values[i] = values[i] if (size > key) | ((size == key) & (i < ties)) else np.float32(0)


@kernel("void(float32[::1], float32[::1], float32, int64)")
def keep_where_larger(values: Array, keys: Array, key: np.float32, ties: int) -> None:
    """Zero values whose key is smaller than ``key``, or equal to it from position ``ties`` on."""
    for i in range(values.size):
        size = abs(keys[i])
        values[i] = values[i] if (size > key) | ((size == key) & (i < ties)) else np.float32(0)


@kernel("void(float32[::1], float32, int64)")
def drop_larger(values: Array, key: np.float32, ties: int) -> None:
    """Zero values larger than ``key`` in magnitude, or equal to it before position ``ties``."""
    for i in range(values.size):
        size = abs(values[i])
        values[i] = np.float32(0) if (size > key) | ((size == key) & (i < ties)) else values[i]
