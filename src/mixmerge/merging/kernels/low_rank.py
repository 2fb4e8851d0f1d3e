"""Add a product of two thin matrices, with the same bytes on every machine and for every piece.

A BLAS product differs in its last bits with the shape of the piece and the processor, and a merge
must not; so the order of the additions is fixed here.
"""

import numpy as np

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.compiled import kernel


def add_low_rank(out: Array, left: Array, right: Array, scale: float) -> None:
    """Add ``scale * left @ right`` to ``out``; each sum in float32, in the order of the rank.

    Args:
        out: shape (rows, columns), contiguous.
        left: shape (rows, rank), contiguous.
        right: shape (rank, columns), contiguous.
        scale: factor of the product.
    """
    _add_low_rank(out, left, right, scale, np.empty(out.shape[1], np.float32))


@kernel("void(float32[:, ::1], float32[:, ::1], float32[:, ::1], float32, float32[::1])")
def _add_low_rank(out: Array, left: Array, right: Array, scale: float, total: Array) -> None:
    for row in range(out.shape[0]):
        total[:] = np.float32(0)
        for inner in range(left.shape[1]):
            weight = left[row, inner]
            for column in range(total.size):
                total[column] += weight * right[inner, column]
        for column in range(total.size):
            out[row, column] += scale * total[column]
