"""Keep a part of a task vector and set the rest to zero."""

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.compiled import kernel
from mixmerge.merging.kernels.random_bits import PER_BLOCK, philox

_BLOCK = 512
"""Elements that are drawn at once, a multiple of `PER_BLOCK`: they stay in the fastest cache."""

_SMALLEST_TOTAL = 1e-7


def how_many(density: float, size: int) -> int:
    """Return how many of ``size`` elements a density keeps: int(density * size), at least one.

    A density of 0 keeps none, one of 1 all.
    """
    if density <= 0.0:
        return 0
    return size if density >= 1.0 else max(1, int(density * size))


def keep_random(
    values: Array, density: float, words: npt.NDArray[np.uint32], start: int = 0
) -> None:
    """Set to zero, in place, all but a random share of the elements.

    An element is kept where its `random_bits` are below density * 2^32.

    Args:
        values: shape (count,).
        density: the probability with which each element is kept, in [0, 1].
        words: what tells this stream of random bits from others, from `stream`.
        start: position of the first element in its tensor.
    """
    if density < 1.0:
        room = np.empty(_BLOCK, np.uint32)
        _keep_below(values, words, start, int(density * 2.0**32), room)


@kernel("void(float32[::1], uint32[::1], int64, uint32, uint32[::1])")
def _keep_below(
    values: Array,
    words: npt.NDArray[np.uint32],
    start: int,
    limit: int,
    bits: npt.NDArray[np.uint32],
) -> None:
    # Draws come in fours, and a tile of whole rows may begin within one.
    before = start % PER_BLOCK
    for place in range(-before, values.size, bits.size):
        philox(words, (start + place) // PER_BLOCK, bits)
        begin = max(place, 0)
        block, drawn = values[begin : place + bits.size], bits[begin - place :]
        for i in range(block.size):
            block[i] = block[i] if drawn[i] < limit else np.float32(0)


def keep_by_rank(
    values: Array, density: float, epsilon: float, bits: npt.NDArray[np.uint32]
) -> None:
    """Set random elements to zero, in place; the larger ones of a row are kept more often.

    The probability to be kept falls evenly from density + epsilon for the largest magnitude of a
    row to density - epsilon for the smallest; of equal magnitudes the earlier counts as larger. A
    row of one element keeps it with probability density.

    Args:
        values: shape (rows, columns), contiguous.
        density: the mean probability, in (0, 1).
        epsilon: both ends of the range lie in (0, 1).
        bits: 32 random bits for each element, shape (rows * columns,).
    """
    columns = values.shape[1]
    kept = np.full(1, density)
    if columns > 1:
        kept = (density + epsilon) - 2.0 * epsilon * (np.arange(columns) / (columns - 1))
    limits = (kept * 2.0**32).astype(np.uint32)
    keys, places = np.empty((2, columns), np.uint64), np.empty((3, 2048), np.int64)
    _keep_by_rank(values, bits, limits, keys, places)


@kernel("void(float32[:, ::1], uint32[::1], uint32[::1], uint64[:, ::1], int64[:, ::1])")
def _keep_by_rank(
    values: Array,
    bits: npt.NDArray[np.uint32],
    limits: npt.NDArray[np.uint32],
    room: npt.NDArray[np.uint64],
    places: npt.NDArray[np.int64],
) -> None:
    # A radix sort of each row by falling magnitude, which keeps ties in order: the 31 bits below
    # the sign, inverted, go through three passes of 11 bits, each with its column beside it.
    rows, columns = values.shape
    keys, other = room[0], room[1]
    for row in range(rows):
        places[:] = 0
        magnitudes = values[row].view(np.uint32)
        for i in range(columns):
            key = ~magnitudes[i] & np.uint32(0x7FFFFFFF)
            keys[i] = (np.uint64(key) << np.uint64(32)) | np.uint64(i)
            for digit in range(3):
                places[digit, (key >> np.uint32(11 * digit)) & np.uint32(2047)] += 1
        for digit in range(3):
            place = 0
            for value in range(2048):
                count = places[digit, value]
                places[digit, value] = place
                place += count
            for i in range(columns):
                value = (keys[i] >> np.uint64(32 + 11 * digit)) & np.uint64(2047)
                other[places[digit, value]] = keys[i]
                places[digit, value] += 1
            keys, other = other, keys
        drawn = bits[row * columns : (row + 1) * columns]
        for rank in range(columns):
            column = keys[rank] & np.uint64(0xFFFFFFFF)
            if drawn[column] >= limits[rank]:
                values[row, column] = np.float32(0)


def restoring_scale(before: float, after: float) -> float:
    """Return the factor that gives a sparse task vector the L1 norm it had before.

    1 where either norm is below 1e-7, as in mergekit.
    """
    return 1.0 if min(before, after) < _SMALLEST_TOTAL else before / after
