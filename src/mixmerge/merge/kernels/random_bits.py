"""Random bits that depend on what they are for, and on nothing else.

The generator is counter-based (Philox 4x64, Salmon et al. 2011): the key says which seed, model
and tensor, the counter says which element. So neither the order of tensors nor the number of
threads can change a draw, and each element could be drawn alone.
"""

import hashlib

import numpy as np
import numpy.typing as npt


def random_bits(seed: int, model: int, tensor: str, count: int) -> npt.NDArray[np.uint32]:
    """Return 32 random bits for each of ``count`` elements.

    Args:
        seed: of the merge.
        model: position of the model in the recipe, from 0. Not its path: moving a folder must
            not change a merge.
        tensor: name of the tensor.
        count: number of elements.

    Returns:
        Shape (count,). Element i is the lower (i even) or upper (i odd) half of word i // 2.
    """
    digest = hashlib.blake2b(f"{seed}\0{model}\0{tensor}".encode(), digest_size=16).digest()
    # Only the raw stream of a bit generator is promised to stay the same in every NumPy.
    words = np.random.Philox(key=np.frombuffer(digest, dtype="<u8")).random_raw((count + 1) // 2)
    return words.astype("<u8").view("<u4")[:count].astype(np.uint32, copy=False)
