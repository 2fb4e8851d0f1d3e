"""Elect a sign for each element of several task vectors, and add those that agree with it."""

import numpy as np
import numpy.typing as npt

from mixmerge.merge.kernels import Array
from mixmerge.merge.kernels.compiled import kernel

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


def base_plus_agreeing(
    base: Array,
    deltas: Array,
    weights: npt.ArrayLike,
    shares: npt.ArrayLike,
    factor: float,
) -> Array:
    """Elect signs by mass, and add to the base what agrees.

    The same as `sign_by_mass` and `sum_of_agreeing` one after the other, in one pass over blocks
    that stay in the first-level cache.

    Args:
        base: shape (count,).
        deltas: shape (models, count).
        weights: by what each delta is multiplied first.
        shares: the sum is divided by the shares of those that agree; empty: it is not divided.
        factor: of the merged task vector.

    Returns:
        Shape (count,).
    """
    out = np.empty_like(base)
    _base_plus_agreeing(
        base,
        deltas,
        np.array(weights, np.float32),
        np.array(shares, np.float32),
        factor,
        np.empty((3, _BLOCK), np.float32),
        out,
    )
    return out


@kernel(
    "void(float32[::1], float32[:, ::1], float32[::1], float32[::1], float32,"
    " float32[:, ::1], float32[::1])"
)
def _base_plus_agreeing(
    base: Array,
    deltas: Array,
    weights: Array,
    shares: Array,
    factor: float,
    room: Array,
    out: Array,
) -> None:
    mass, total, share = room[0], room[1], room[2]
    zero, one = np.float32(0), np.float32(1)
    for start in range(0, out.size, _BLOCK):
        result = out[start : start + _BLOCK]
        mass[:] = zero
        total[:] = zero
        share[:] = zero
        for model in range(weights.size):
            delta = deltas[model, start : start + _BLOCK]
            weight = weights[model]
            for i in range(delta.size):
                mass[i] += weight * delta[i]
        for model in range(weights.size):
            delta = deltas[model, start : start + _BLOCK]
            weight = weights[model]
            own = shares[model] if shares.size else one
            for i in range(delta.size):
                weighted = weight * delta[i]
                agrees = (weighted > 0) if mass[i] >= 0 else (weighted < 0)
                total[i] += weighted if agrees else zero
                share[i] += own if agrees else zero
        start_of_base = base[start : start + _BLOCK]
        if shares.size:
            for i in range(result.size):
                total[i] /= share[i] if share[i] != 0 else one
        for i in range(result.size):
            result[i] = start_of_base[i] + np.float32(factor) * total[i]
