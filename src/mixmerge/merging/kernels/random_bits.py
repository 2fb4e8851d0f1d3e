"""Random bits that depend on what they are for, and on nothing else.

The generator is counter-based (Philox 4x32 with 10 rounds; Salmon et al. 2011, Parallel random
numbers: as easy as 1, 2, 3, doi:10.1145/2063384.2063405): the key says which seed, model and
tensor, the counter says which element. So neither the order of tensors nor the number of threads
can change a draw, and each element can be drawn alone.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels.compiled import kernel

PER_BLOCK = 4
"""Elements whose bits come from one value of the counter."""


def stream(seed: int, model: int, tensor: str) -> npt.NDArray[np.uint32]:
    """Return what tells one stream of random bits from another.

    Args:
        seed: of the merge.
        model: position of the model in the recipe, from 0. Not its path: moving a folder must
            not change a merge.
        tensor: name of the tensor.

    Returns:
        Shape (4,): the key, and the upper half of the counter.
    """
    digest = hashlib.blake2b(f"{seed}\0{model}\0{tensor}".encode(), digest_size=16).digest()
    return np.frombuffer(digest, dtype="<u4").astype(np.uint32)


def seed_of_stage(seed: int, stage: str) -> int:
    """Return the seed of a merge that comes before another one.

    Both may draw for a tensor of one name at one position: with the same bits, what the first has
    dropped would be all that the second drops.

    Args:
        seed: of the whole.
        stage: its name; empty for the result, whose seed is that of the whole.
    """
    if not stage:
        return seed
    digest = hashlib.blake2b(f"{seed}\0{stage}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def random_bits(words: npt.NDArray[np.uint32], start: int, count: int) -> npt.NDArray[np.uint32]:
    """Return 32 random bits for each of ``count`` elements.

    Args:
        words: from `stream`.
        start: the first element.
        count: number of elements.

    Returns:
        Shape (count,). Element i is word i % 4 of the block with counter i // 4.
    """
    before = start % PER_BLOCK
    blocks = -(-(before + count) // PER_BLOCK)
    out = np.empty(blocks * PER_BLOCK, np.uint32)
    philox(words, start // PER_BLOCK, out)
    return out[before : before + count]


@kernel("void(uint32[::1], uint64, uint32[::1])")
def philox(words: npt.NDArray[np.uint32], block: int, out: npt.NDArray[np.uint32]) -> None:
    """Fill ``out``, four words for each block from number ``block`` on."""
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
