"""Find the k largest of many numbers without sorting, and keep those.

The order is total: larger keys come first, and of equal keys the earlier element. Keys are float32
and not negative, so their bits order them; a first count by the upper half of the bits and a second
by the lower half give the k-th key exactly (a radix selection).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixmerge.merge.kernels import Array
from mixmerge.merge.kernels.compiled import kernel

HIGH, LOW = 1 << 16, 1 << 15
"""Bins of the first and of the second count: 16 and 15 bits of the 31 below the sign."""


@dataclass(frozen=True)
class Cut:
    """The first k elements of a tensor in descending order of their keys."""

    key: float
    """All larger keys are among them, all smaller ones are not."""
    end: int
    """Of the keys that equal ``key``, those of elements before this one are among them."""

    def keep(self, values: Array, keys: Array, start: int) -> None:
        """Set the elements of a tile that are not among them to zero.

        Args:
            values: shape (count,), changed in place.
            keys: the keys of the same elements.
            start: position of the tile's first element in the tensor.
        """
        keep_above(values, keys, np.float32(self.key), max(0, self.end - start))

    def drop(self, values: Array, keys: Array, start: int) -> None:
        """Set the elements of a tile that are among them to zero; see `keep`."""
        drop_above(values, keys, np.float32(self.key), max(0, self.end - start))


EVERYTHING = Cut(-1.0, 0)
NOTHING = Cut(float("inf"), 0)


def cut_of(keys: Array, count: int) -> Cut:
    """Return the cut below the ``count`` largest of a few keys, shape (size,)."""
    place = keys.size - count
    key = np.partition(keys, place)[place]
    ties = count - int(np.count_nonzero(keys > key))
    return Cut(float(key), int(np.flatnonzero(keys == key)[ties - 1]) + 1)


@kernel("void(float32[::1], int64[::1])")
def count_high(keys: Array, counts: npt.NDArray[np.int64]) -> None:
    """Add to ``counts`` (`HIGH`) how many keys have which upper bits."""
    bits = keys.view(np.uint32)
    for i in range(bits.size):
        counts[(bits[i] >> np.uint32(15)) & np.uint32(0xFFFF)] += 1


@kernel("void(float32[::1], uint32, int64[::1])")
def count_low(keys: Array, high: int, counts: npt.NDArray[np.int64]) -> None:
    """Add to ``counts`` (`LOW`) how many keys with these upper bits have which lower bits."""
    bits = keys.view(np.uint32)
    for i in range(bits.size):
        if bits[i] >> np.uint32(15) == high:
            counts[bits[i] & np.uint32(0x7FFF)] += 1


def key_of(high: int, low: int) -> float:
    """Return the key with these upper and lower bits."""
    return float(np.array([(high << 15) | low], np.uint32).view(np.float32)[0])


@kernel("void(float32[::1], float32[::1], float32, int64)")
def keep_above(values: Array, keys: Array, key: np.float32, ties: int) -> None:
    """Zero values whose key is below ``key``, or equal to it at position ``ties`` or later."""
    for i in range(values.size):
        kept = (keys[i] > key) | ((keys[i] == key) & (i < ties))
        values[i] = values[i] if kept else np.float32(0)


@kernel("void(float32[::1], float32[::1], float32, int64)")
def drop_above(values: Array, keys: Array, key: np.float32, ties: int) -> None:
    """Zero values whose key is above ``key``, or equal to it before position ``ties``."""
    for i in range(values.size):
        dropped = (keys[i] > key) | ((keys[i] == key) & (i < ties))
        values[i] = np.float32(0) if dropped else values[i]
