"""Which models are best with several goals. On every axis, larger is better."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.estimate import Estimate
from mixmerge.stats.proportions import t_quantile

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64
    from numpy.typing import NDArray

_CHUNK = 1 << 22

_LARGEST_BIAS = 0.25
"""Of the bootstrap, in standard errors."""


def non_dominated(
    points: Float64[Floats, "*sets models axes"],
) -> Bool[NDArray[np.bool_], "*sets models"]:
    """Return whether no other point is at least as good everywhere and better somewhere.

    Equal points do not dominate each other.

    Example:
        >>> non_dominated(np.array([[1.0, 3.0], [2.0, 1.0], [1.0, 1.0]]))
        array([ True,  True, False])
    """
    other, own = points[..., None, :, :], points[..., :, None, :]
    dominates = (other >= own).all(axis=-1) & (other > own).any(axis=-1)
    return np.asarray(~dominates.any(axis=-1))


def probability_non_dominated(
    draws: Float64[Floats, "draws models axes"],
) -> Float64[Floats, "models"]:
    """Return the share of bootstrap draws in which each model is non-dominated.

    Models, and axes that share prompts, share their draws.
    """
    n_draws, n_models, n_axes = draws.shape
    step = max(1, _CHUNK // (n_models**2 * n_axes))
    free = np.zeros(n_models)
    for start in range(0, n_draws, step):
        free += non_dominated(draws[start : start + step]).sum(axis=0)
    share: Floats = free / n_draws
    return share


def hypervolume(
    points: Float64[Floats, "*sets models axes"], reference: Sequence[float]
) -> Float64[Floats, "*sets"]:
    """Return the volume that the points dominate above a reference point.

    It is sliced along the last axis, from the best point down: each slice is as thick as the step
    to the next point, and as large as the volume of all points at least as good on the other axes.
    Points below the reference on an axis add nothing.

    Example:
        >>> hypervolume(np.array([[1.0, 3.0], [2.0, 1.0]]), [0.0, 0.0]).item()
        4.0
    """
    return _volume(np.maximum(points - np.asarray(reference), 0.0))


def _volume(above: Float64[Floats, "*sets models axes"]) -> Float64[Floats, "*sets"]:
    if above.shape[-1] == 1:
        return np.asarray(above[..., 0].max(axis=-1))
    if above.shape[-1] == 2:
        return _area(above)
    order = np.argsort(-above[..., -1], axis=-1, kind="stable")
    ranked = np.take_along_axis(above, order[..., None], axis=-2)
    heights = np.concatenate([ranked[..., -1], np.zeros_like(ranked[..., :1, -1])], axis=-1)
    volume: Floats = np.zeros(above.shape[:-2])
    for number in range(ranked.shape[-2]):
        thickness = heights[..., number] - heights[..., number + 1]
        volume = volume + thickness * _volume(ranked[..., : number + 1, :-1])
    return np.asarray(volume)


def _area(above: Float64[Floats, "*sets models 2"]) -> Float64[Floats, "*sets"]:
    # From the right, each point adds its width times its height above all points further right.
    order = np.argsort(-above[..., 0], axis=-1, kind="stable")
    width = np.take_along_axis(above[..., 0], order, axis=-1)
    height = np.maximum.accumulate(np.take_along_axis(above[..., 1], order, axis=-1), axis=-1)
    return np.asarray((width * np.diff(height, axis=-1, prepend=0.0)).sum(axis=-1))


def front_volume(
    points: Float64[Floats, "models axes"],
    draws: Float64[Floats, "draws models axes"],
    reference: Sequence[float],
    clusters: int,
) -> Estimate:
    """Estimate the volume that several models dominate together.

    The best of several noisy models looks better than the best model is. The interval is the volume
    less its bootstrap bias, ± t bootstrap standard errors. If that bias is above a quarter of a
    standard error (Efron and Tibshirani 1993, section 10.2), the models are too close to one
    another for a valid interval. The draws are the same for all models; ``clusters`` are those of
    the smaller axis.
    """
    value = float(hypervolume(points, reference))
    volumes = hypervolume(draws, reference)
    error, bias = float(volumes.std(ddof=1)), float(volumes.mean()) - value
    if error == 0:
        reason = "no model varies, or none is better than the worst corner on every axis"
        return Estimate.without_interval(value, 0, clusters, reason)
    if abs(bias) > _LARGEST_BIAS * error:
        reason = (
            "models are too close to one another: the volume of the best is biased by "
            f"{abs(bias):.2g} where its standard error is {error:.2g}"
        )
        return Estimate.without_interval(value, 0, clusters, reason)
    centre, half = value - bias, t_quantile(clusters) * error
    low, high = max(0.0, centre - half), centre + half
    return Estimate(value, low, high, 0, clusters, "bias-corrected t")
