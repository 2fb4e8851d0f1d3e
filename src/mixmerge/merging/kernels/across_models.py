"""What several task vectors say of one element: how far apart they are, which ones changed it."""

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.compiled import kernel

_BLOCK = 512
"""Elements whose sums stay in the first-level cache."""


def standard_deviation(deltas: Array) -> Array:
    """Return how far apart task vectors are at each element.

    Computed in float64, as the root of the mean squared distance from the mean, so that it is zero
    exactly where all are equal.

    Args:
        deltas: shape (models, count), contiguous.

    Returns:
        Shape (count,).
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
    """Return, for each element, the mean of the task vectors that changed it.

    Args:
        deltas: shape (models, count), contiguous.
        epsilon: a task vector changed an element if its magnitude there exceeds this.
        boosts: by what a model's delta is multiplied where it is the only one, shape (models,).

    Returns:
        Shape (count,); 0 where nothing changed.
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
