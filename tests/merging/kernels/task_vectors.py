"""Task vectors for the tests of kernels."""

import numpy as np

from mixmerge.merging.kernels import Array

SIZES = [1, 511, 512, 513, 2000]


def normal(models: int, size: int) -> Array:
    """Return task vectors with some zeros."""
    values = np.random.default_rng(4).standard_normal((models, size)).astype(np.float32)
    values[:, ::5] = 0
    return values
