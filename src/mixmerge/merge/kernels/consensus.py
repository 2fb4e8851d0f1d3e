"""Elect a sign for each element of several task vectors, and add those that agree with it."""

from collections.abc import Sequence

import numpy as np

from mixmerge.merge.kernels import Array


def sign_by_mass(deltas: Sequence[Array]) -> Array:
    """Return +1 where the deltas' sum is zero or more, else -1 (Yadav et al. 2023, step 2)."""
    total = deltas[0].copy()
    for delta in deltas[1:]:
        total += delta
    return np.where(total >= 0, np.float32(1), np.float32(-1))


def sign_by_count(deltas: Sequence[Array]) -> Array:
    """Return the sign of the sum of signs, 0 for a draw (arXiv:2410.10801, equation 3)."""
    votes = np.sign(deltas[0])
    for delta in deltas[1:]:
        votes += np.sign(delta)
    return np.sign(votes)


def sum_of_agreeing(
    deltas: Sequence[Array], weights: Sequence[float], sign: Array
) -> tuple[Array, Array]:
    """Add, for each element, the deltas that have the elected sign; a zero agrees with none.

    Args:
        deltas: tensors of one shape, weights already applied.
        weights: the weight of each delta.
        sign: the elected signs, of the same shape.

    Returns:
        The sum of the agreeing deltas, and the sum of their weights.
    """
    total, share = np.zeros_like(sign), np.zeros_like(sign)
    for delta, weight in zip(deltas, weights, strict=True):
        agrees = (np.sign(delta) == sign) & (delta != 0)
        total += np.where(agrees, delta, np.float32(0))
        share += np.where(agrees, np.float32(weight), np.float32(0))
    return total, share
