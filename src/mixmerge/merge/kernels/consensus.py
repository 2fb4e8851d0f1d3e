"""Elect a sign for each element of several task vectors, and add those that agree with it."""

import numpy as np

from mixmerge.merge.kernels import Array
from mixmerge.merge.kernels.compiled import kernel


def sign_by_mass(deltas: Array) -> Array:
    """Return +1 where the deltas' sum is zero or more, else -1 (Yadav et al. 2023, step 2).

    Args:
        deltas: shape (models, count), weights already applied.
    """
    sign = np.empty(deltas.shape[1], np.float32)
    _sign_by_mass(deltas, sign)
    return sign


@kernel("void(float32[:, ::1], float32[::1])")
def _sign_by_mass(deltas: Array, sign: Array) -> None:
    for i in range(sign.size):
        sign[i] = deltas[0, i]
    for model in range(1, deltas.shape[0]):
        for i in range(sign.size):
            sign[i] += deltas[model, i]
    for i in range(sign.size):
        sign[i] = np.float32(1) if sign[i] >= 0 else np.float32(-1)


def sign_by_count(deltas: Array) -> Array:
    """Return the sign of the sum of signs, 0 for a draw (arXiv:2410.10801, equation 3).

    Args:
        deltas: shape (models, count).
    """
    sign: Array = np.sign(np.sum(np.sign(deltas), axis=0))
    return sign


def sum_of_agreeing(deltas: Array, weights: Array, sign: Array) -> tuple[Array, Array]:
    """Add, for each element, the deltas that have the elected sign; a zero agrees with none.

    Args:
        deltas: shape (models, count), weights already applied.
        weights: the weight of each delta, float32.
        sign: the elected signs, shape (count,).

    Returns:
        The sum of the agreeing deltas and the sum of their weights, shape (count,) each.
    """
    total, share = np.empty_like(sign), np.empty_like(sign)
    _sum_of_agreeing(deltas, weights, sign, total, share)
    return total, share


@kernel("void(float32[:, ::1], float32[::1], float32[::1], float32[::1], float32[::1])")
def _sum_of_agreeing(
    deltas: Array, weights: Array, sign: Array, total: Array, share: Array
) -> None:
    for i in range(sign.size):
        total[i] = np.float32(0)
        share[i] = np.float32(0)
    for model in range(weights.size):
        weight = weights[model]
        for i in range(sign.size):
            agrees = deltas[model, i] * sign[i] > 0
            total[i] += deltas[model, i] if agrees else np.float32(0)
            share[i] += weight if agrees else np.float32(0)


@kernel("void(float32[::1], float32[::1])")
def divide_by_share(total: Array, share: Array) -> None:
    """Divide each element by its share, in place; where no delta agreed it stays as it is."""
    for i in range(total.size):
        total[i] /= share[i] if share[i] != 0 else np.float32(1)
