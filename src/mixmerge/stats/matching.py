"""Comparison of models at the same level of one axis.

A family such as "merge with weight w" is a path of models. At the point where the path has the same
value of one axis as another model, such as the same share of harmful answers, their other values
can be compared without the choice of w deciding the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.estimate import Estimate
from mixmerge.stats.proportions import t_quantile

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]

REACHED = 0.95
"""Share of bootstrap draws in which the path must reach the level, for an interval."""


def crossings(
    path: Float64[Floats, "*sets points"], level: Float64[Floats, "*sets"]
) -> tuple[Bool[Bools, "*sets steps"], Float64[Floats, "*sets steps"]]:
    """Return which steps between neighbouring points cross a level, and how far along each.

    A point exactly on the level counts once: with the step that ends there or, if it is the first,
    with the step that begins there. A step that lies on the level is crossed in its middle.
    """
    below, above = path[..., :-1] - level[..., None], path[..., 1:] - level[..., None]
    first = np.arange(below.shape[-1]) == 0
    crosses = (below * above < 0) | (above == 0) | (first & (below == 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        along = np.where(above == below, 0.5, below / (below - above))
    return np.asarray(crosses), along


def at_level(
    path: Float64[Floats, "*sets points"],
    level: Float64[Floats, "*sets"],
    values: Float64[Floats, "*sets points"],
) -> Float64[Floats, "*sets"]:
    """Return a path's value on the other axis where it crosses a level, by linear interpolation.

    ``path`` has the values of the matched axis from one end to the other, ``values`` those of the
    other axis. If the path crosses the level several times, the mean of all crossings; NaN if it
    never does.

    Example:
        >>> path, values = np.array([0.8, 0.4, 0.1]), np.array([0.6, 0.5, 0.2])
        >>> at_level(path, np.array(0.3), values).round(3).item()
        0.4
    """
    crosses, along = crossings(path, level)
    with np.errstate(invalid="ignore"):
        found = values[..., :-1] + along * (values[..., 1:] - values[..., :-1])
        mean = np.where(crosses, found, 0.0).sum(axis=-1) / crosses.sum(axis=-1)
    return np.asarray(mean)


def matched_difference(
    points: tuple[Floats, Floats], draws: tuple[Floats, Floats], clusters: int
) -> Estimate:
    """Estimate how a path differs from a model at the model's own level of another axis.

    Crossing and interpolation are repeated in every bootstrap draw, so the interval, ± t bootstrap
    standard errors, includes their error. ``points`` are the estimates on the matched axis and on
    the other, each of shape (points + 1,): the path from end to end, then the model; ``draws`` the
    same in every draw, of shape (draws, points + 1). ``clusters`` counts those of the smaller axis.
    """
    (value,) = _differences(*(each[None] for each in points))
    if np.isnan(value):
        reason = "no two neighbouring points of the sweep have the level between them"
        return Estimate.without_interval(float("nan"), 0, clusters, reason)
    drawn = _differences(*draws)
    known = drawn[~np.isnan(drawn)]
    if len(known) < REACHED * len(drawn):
        reason = f"the sweep reaches the level in {len(known) / len(drawn):.0%} of the draws only"
        return Estimate.without_interval(float(value), 0, clusters, reason)
    half = t_quantile(clusters) * float(known.std(ddof=1))
    return Estimate(float(value), value - half, value + half, 0, clusters, "bootstrap t")


def _differences(matched: Floats, other: Floats) -> Floats:
    own: Floats = at_level(matched[:, :-1], matched[:, -1], other[:, :-1]) - other[:, -1]
    return own
