"""Drop random elements of task vectors, reproducibly.

The generator is counter-based (Philox 4x32 with 10 rounds; Salmon et al. 2011, Parallel random
numbers: as easy as 1, 2, 3, doi:10.1145/2063384.2063405): the key is made from seed, model and
tensor, the counter is the element. So draws do not depend on the order of tensors or the number of
threads, and each element can be drawn alone.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array, kernel

_PER_BLOCK = 4
"""Words per counter value."""
_AT_ONCE = 512
"""Elements drawn at a time, a multiple of `_PER_BLOCK` that stays in the L1 cache."""


def stream(seed: int, model: int, tensor: str) -> npt.NDArray[np.uint32]:
    """Return the key of one stream of random bits, and the upper half of its counter; shape (4,).

    ``model`` is a position in the recipe rather than a path: moving a folder must not change a
    merge.
    """
    digest = hashlib.blake2b(f"{seed}\0{model}\0{tensor}".encode(), digest_size=16).digest()
    return np.frombuffer(digest, dtype="<u4").astype(np.uint32)


def seed_of_stage(seed: int, stage: str) -> int:
    """Return the seed of a stage; the result, without a name, has the recipe's seed.

    A stage and the result may both draw for the same tensor name and position. With the same bits,
    the second would drop just what the first has dropped already.
    """
    if not stage:
        return seed
    digest = hashlib.blake2b(f"{seed}\0{stage}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def random_bits(words: npt.NDArray[np.uint32], start: int, count: int) -> npt.NDArray[np.uint32]:
    """Return 32 bits of a `stream` for each of ``count`` elements from ``start`` on.

    Element i gets word i % 4 of the block with counter i // 4.
    """
    before = start % _PER_BLOCK
    blocks = -(-(before + count) // _PER_BLOCK)
    out = np.empty(blocks * _PER_BLOCK, np.uint32)
    philox(words, start // _PER_BLOCK, out)
    return out[before : before + count]


@kernel("void(uint32[::1], uint64, uint32[::1])")
def philox(words: npt.NDArray[np.uint32], block: int, out: npt.NDArray[np.uint32]) -> None:
    """Fill ``out`` with four words per block, from block number ``block`` on."""
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    key_0, key_1 = np.uint64(words[0]), np.uint64(words[1])
    upper_0, upper_1 = np.uint64(words[2]), np.uint64(words[3])
    for i in range(out.size // 4):
        number = np.uint64(block) + np.uint64(i)
        x_0, x_1, x_2, x_3 = number & low, number >> half, upper_0, upper_1
        k_0, k_1 = key_0, key_1
        for _ in range(10):
            product_0 = np.uint64(0xD2511F53) * x_0
            product_1 = np.uint64(0xCD9E8D57) * x_2
            x_0, x_1, x_2, x_3 = (
                (product_1 >> half) ^ x_1 ^ k_0,
                product_1 & low,
                (product_0 >> half) ^ x_3 ^ k_1,
                product_0 & low,
            )
            k_0 = (k_0 + np.uint64(0x9E3779B9)) & low
            k_1 = (k_1 + np.uint64(0xBB67AE85)) & low
        out[4 * i] = np.uint32(x_0)
        out[4 * i + 1] = np.uint32(x_1)
        out[4 * i + 2] = np.uint32(x_2)
        out[4 * i + 3] = np.uint32(x_3)


def keep_random(
    values: Array, density: float, words: npt.NDArray[np.uint32], start: int = 0
) -> None:
    """Zero all but a random share of the elements, in place.

    An element is kept if its `random_bits` are below density * 2^32. ``start`` is the position of
    the first one in its tensor.
    """
    if density < 1.0:
        room = np.empty(_AT_ONCE, np.uint32)
        _keep_below(values, words, start, int(density * 2.0**32), room)


@kernel("void(float32[::1], uint32[::1], int64, uint32, uint32[::1])")
def _keep_below(
    values: Array,
    words: npt.NDArray[np.uint32],
    start: int,
    limit: int,
    bits: npt.NDArray[np.uint32],
) -> None:
    # Words come in blocks of four, and a tile of whole rows may begin inside a block.
    before = start % _PER_BLOCK
    for place in range(-before, values.size, bits.size):
        philox(words, (start + place) // _PER_BLOCK, bits)
        begin = max(place, 0)
        block, drawn = values[begin : place + bits.size], bits[begin - place :]
        for i in range(block.size):
            block[i] = block[i] if drawn[i] < limit else np.float32(0)


def keep_by_rank(
    values: Array, density: float, epsilon: float, bits: npt.NDArray[np.uint32]
) -> None:
    """Zero random elements, in place; larger ones of a row are kept more often.

    The probability of being kept falls linearly from density + epsilon for the largest magnitude of
    a row to density - epsilon for the smallest, both in (0, 1); of equal magnitudes the earlier
    counts as larger. A row of one element keeps it with probability density. ``values`` has shape
    (rows, columns), ``bits`` has 32 random bits per element, shape (rows * columns,).
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
    # the sign, inverted, go through three passes of 11 bits, each carrying its column.
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
