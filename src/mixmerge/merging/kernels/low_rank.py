"""Products of two thin matrices: exact sums of them, and the closest one of a given rank.

All arithmetic is float64. By Eckart and Young (1936, doi:10.1007/BF02288367) the closest matrix of
rank r in the Frobenius norm keeps the r largest singular values. The decompositions are LAPACK's,
so their last bits depend on the processor.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


class Product(NamedTuple):
    """The matrix ``b @ a``, with LoRA's names of the factors."""

    b: Matrix
    """Shape (rows, rank)."""
    a: Matrix
    """Shape (rank, columns)."""


def summed(parts: Iterable[tuple[float, npt.ArrayLike, npt.ArrayLike]]) -> Product:
    """Return sum_i w_i B_i A_i exactly, by concatenation; its rank is the sum of the ranks.

    Args:
        parts: weight, B and A of each term. The weight goes into B, as LoRA trains B from zero.
    """
    scaled = [(weight * np.asarray(b, np.float64), a) for weight, b, a in parts]
    b = np.concatenate([each for each, _ in scaled], axis=1)
    return Product(b, np.concatenate([np.asarray(a, np.float64) for _, a in scaled], axis=0))


def closest(product: Product, rank: int) -> Product:
    """Return the closest product of at most ``rank`` to a product of a larger one.

    Only a matrix with as many rows and columns as the larger rank is decomposed.
    """
    from scipy.linalg import qr, svd

    q, r = qr(product.b, mode="economic")
    p, s = qr(product.a.T, mode="economic")
    u, sizes, v = svd(r @ s.T)
    roots = np.sqrt(sizes[:rank])
    return Product((q @ u[:, :rank]) * roots, roots[:, None] * (v[:rank] @ p.T))


def closest_to(matrix: Matrix, rank: int) -> Product:
    """Return the closest product of at most ``rank`` to any matrix.

    The singular vectors of the shorter side are the eigenvectors of a Gram matrix. That squares
    the singular values, so those below 1e-8 of the largest are not told apart; they are also below
    what float32 weights can hold.
    """
    from scipy.linalg import eigh

    if len(matrix) < matrix.shape[1]:
        b, a = closest_to(matrix.T, rank)
        return Product(a.T, b.T)
    size = matrix.shape[1]
    _, vectors = eigh(matrix.T @ matrix, subset_by_index=[size - rank, size - 1])
    vectors = vectors[:, ::-1]  # largest first
    images = matrix @ vectors
    roots = np.sqrt(np.linalg.norm(images, axis=0))
    roots = np.where(roots > 0, roots, 1.0)
    return Product(images / roots, roots[:, None] * vectors.T)


def squared_norm(product: Product) -> float:
    """Return the squared Frobenius norm of a product, without multiplying it out."""
    return max(0.0, float(np.sum((product.b.T @ product.b) * (product.a @ product.a.T))))


def squared_distance(one: Product, other: Product) -> float:
    """Return the squared Frobenius norm of a difference of products of the same shape."""
    b, a = np.hstack([one.b, -other.b]), np.vstack([one.a, other.a])
    # The triangular factors are small and have no cancellation, unlike inner products of b and a.
    core = np.linalg.qr(b)[1] @ np.linalg.qr(a.T)[1].T
    return float(np.sum(core * core))
