"""Which models are best when there are several goals. On every axis, larger is better."""

import numpy as np
from numpy.typing import NDArray

from mixmerge.stats.bootstrap import Floats


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
    free = np.array([non_dominated(draw) for draw in draws])
    share: Floats = free.mean(axis=0)
    return share


def hypervolume(points: Floats, reference: tuple[float, float]) -> float:
    """Return the area that the points dominate above a declared reference point.

    Args:
        points: shape (models, 2).
        reference: the worst corner; points below it on an axis add nothing.
    """
    above = points[(points > np.asarray(reference)).all(axis=1)]
    area, covered = 0.0, reference[1]
    for x, y in sorted(above.tolist(), reverse=True):
        if y > covered:
            area += (x - reference[0]) * (y - covered)
            covered = y
    return area
