"""Elect a sign for each element of several task vectors, and add those that agree with it."""

import numpy as np

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.compiled import kernel

_BLOCK = 512


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


def elected_sum(
    deltas: Array, weights: Array, shares: Array | None, factor: float, base: Array
) -> Array:
    """Add to a base, for each element, the weighted deltas that have the sign of the sum of all.

    This is `sign_by_mass` and `sum_of_agreeing` in one go, times a factor, plus the base.

    Args:
        deltas: shape (models, count).
        weights: by what each is multiplied, before the election, float32.
        shares: the sum is divided by the sum of these for the deltas in it; None: not divided.
        factor: by what the sum is multiplied.
        base: shape (count,).

    Returns:
        Shape (count,); the base where no delta has the elected sign.
    """
    out = np.empty_like(base)
    room = np.empty((3, _BLOCK), np.float32)
    divide = shares is not None
    divisors = weights if shares is None else shares
    _elected_sum(deltas, weights, divisors, divide, np.float32(factor), base, room, out)
    return out


@kernel(
    "void(float32[:, ::1], float32[::1], float32[::1], boolean, float32, float32[::1],"
    " float32[:, ::1], float32[::1])"
)
def _elected_sum(
    deltas: Array,
    weights: Array,
    shares: Array,
    divide: bool,
    factor: np.float32,
    base: Array,
    room: Array,
    out: Array,
) -> None:
    zero, one = np.float32(0), np.float32(1)
    sign, share, total = room[0], room[1], room[2]
    for start in range(0, out.size, _BLOCK):
        merged, below = out[start : start + _BLOCK], base[start : start + _BLOCK]
        total[:] = 0
        sign[:] = 0
        share[:] = 0
        for model in range(weights.size):
            delta, weight = deltas[model, start : start + _BLOCK], weights[model]
            for i in range(delta.size):
                sign[i] += weight * delta[i]
        for i in range(merged.size):
            sign[i] = one if sign[i] >= zero else -one
        for model in range(weights.size):
            delta, weight = deltas[model, start : start + _BLOCK], weights[model]
            own = shares[model]
            for i in range(delta.size):
                part = weight * delta[i]
                agrees = sign[i] * part > zero
                total[i] += part if agrees else zero
                share[i] += own if agrees else zero
        if divide:
            for i in range(merged.size):
                total[i] /= share[i] if share[i] != zero else one
        for i in range(merged.size):
            merged[i] = total[i] * factor + below[i]
