"""Which models are best when there are several goals. On every axis, larger is better."""

import numpy as np
from numpy.typing import NDArray

from mixmerge.stats.bootstrap import Floats

_CHUNK = 1 << 22


def non_dominated(points: Floats) -> NDArray[np.bool_]:
    """Say of each point whether no other is at least as good everywhere and better somewhere.

    Args:
        points: shape (..., models, axes); leading dimensions are independent sets.

    Returns:
        Shape (..., models). Equal points do not dominate each other.
    """
    other, own = points[..., None, :, :], points[..., :, None, :]
    dominates = (other >= own).all(axis=-1) & (other > own).any(axis=-1)
    return np.asarray(~dominates.any(axis=-1))


def probability_non_dominated(draws: Floats) -> Floats:
    """Return the share of bootstrap draws in which each model is non-dominated.

    Args:
        draws: shape (draws, models, axes), from the same draws for every model and axis where
            they share prompts.

    Returns:
        Shape (models,).
    """
    n_draws, n_models, n_axes = draws.shape
    step = max(1, _CHUNK // (n_models**2 * n_axes))
    free = np.zeros(n_models)
    for start in range(0, n_draws, step):
        free += non_dominated(draws[start : start + step]).sum(axis=0)
    share: Floats = free / n_draws
    return share


def hypervolume(points: Floats, reference: tuple[float, float]) -> Floats:
    """Return the area that the points dominate above a declared reference point.

    Args:
        points: shape (..., models, 2); leading dimensions are independent sets.
        reference: the worst corner; points below it on an axis add nothing.

    Returns:
        Shape (...).
    """
    above = np.maximum(points - np.asarray(reference), 0.0)
    # From the right: a point adds its width times how far it rises above all points beyond it.
    order = np.argsort(-above[..., 0], axis=-1, kind="stable")
    width = np.take_along_axis(above[..., 0], order, axis=-1)
    height = np.maximum.accumulate(np.take_along_axis(above[..., 1], order, axis=-1), axis=-1)
    area: Floats = (width * np.diff(height, axis=-1, prepend=0.0)).sum(axis=-1)
    return area
