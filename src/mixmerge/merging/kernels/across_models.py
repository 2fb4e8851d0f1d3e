"""Elementwise statistics across task vectors.

How far apart they are, which of them changed an element, which sign they elect, and the sum of
those that agree with it.
"""

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array, kernel
from mixmerge.merging.kernels.linear_algebra import weighted_sum

_BLOCK = 512
"""Elements per block: their sums stay in the L1 cache."""


def standard_deviation(deltas: Array) -> Array:
    """Return the standard deviation across task vectors, shape (models, count), of each element.

    Computed in float64 in two passes, so that it is exactly zero where all are equal.
    """
    out = np.empty(deltas.shape[1], np.float32)
    _standard_deviation(deltas, out, np.empty((2, _BLOCK), np.float64))
    return out


@kernel("void(float32[:, ::1], float32[::1], float64[:, ::1])")
def _standard_deviation(deltas: Array, out: Array, sums: npt.NDArray[np.float64]) -> None:
    models = deltas.shape[0]
    mean, square = sums[0], sums[1]
    for start in range(0, out.size, _BLOCK):
        root = out[start : start + _BLOCK]
        mean[:] = 0
        square[:] = 0
        for model in range(models):
            delta = deltas[model, start : start + _BLOCK]
            for i in range(delta.size):
                mean[i] += np.float64(delta[i])
        for i in range(root.size):
            mean[i] /= models
        for model in range(models):
            delta = deltas[model, start : start + _BLOCK]
            for i in range(delta.size):
                distance = np.float64(delta[i]) - mean[i]
                square[i] += distance * distance
        for i in range(root.size):
            root[i] = np.float32(np.sqrt(square[i] / models))


def mean_of_changed(deltas: Array, epsilon: float, boosts: npt.ArrayLike) -> Array:
    """Return for each element the mean of the task vectors that changed it, 0 if none did.

    ``deltas`` has shape (models, count). A task vector changed an element if its magnitude there
    exceeds ``epsilon``; if it is the only one, its value is multiplied by its model's boost.
    """
    out = np.empty(deltas.shape[1], np.float32)
    counts = np.empty((2, _BLOCK), np.float32)
    _mean_of_changed(deltas, epsilon, np.asarray(boosts, np.float32), out, counts)
    return out


@kernel("void(float32[:, ::1], float32, float32[::1], float32[::1], float32[:, ::1])")
def _mean_of_changed(
    deltas: Array, epsilon: float, boosts: Array, out: Array, counts: Array
) -> None:
    zero, one = np.float32(0), np.float32(1)
    boost, number = counts[0], counts[1]
    for start in range(0, out.size, _BLOCK):
        total = out[start : start + _BLOCK]
        total[:] = 0
        boost[:] = 0
        number[:] = 0
        for model in range(boosts.size):
            delta = deltas[model, start : start + _BLOCK]
            own = boosts[model]
            for i in range(delta.size):
                changed = abs(delta[i]) > epsilon
                total[i] += delta[i] if changed else zero
                boost[i] += own if changed else zero
                number[i] += one if changed else zero
        for i in range(total.size):
            total[i] *= boost[i] if number[i] == one else one
            total[i] /= max(one, number[i])


def sign_by_mass(deltas: Array) -> Array:
    """Return +1 where the sum of weighted deltas is zero or more, else -1 (arXiv:2306.01708)."""
    mass = weighted_sum(deltas, [1.0] * len(deltas))
    return np.where(mass >= 0, np.float32(1), np.float32(-1))


def sign_by_count(deltas: Array) -> Array:
    """Return the sign of the sum of signs, 0 for a tie (arXiv:2410.10801, equation 3)."""
    sign: Array = np.sign(np.sum(np.sign(deltas), axis=0))
    return sign


def sum_of_agreeing(deltas: Array, weights: Array, sign: Array) -> tuple[Array, Array]:
    """Add for each element the deltas with the elected sign; zeros do not count.

    Returns the sum of the agreeing deltas, which are weighted already, and of their weights.
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
    """Add to a base the weighted deltas that have the sign of the sum of all, for each element.

    This is `sign_by_mass` and `sum_of_agreeing` in one pass, times a factor, plus the base. If
    ``shares`` are given, the sum is divided by those of the agreeing deltas.
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
