"""Methods at the same price: the win rate of merges at the mix's own harm, over seeds.

A merge has a weight, and every weight buys safety with something else. So methods are compared where
the sweep of weights has the harm rate that the mix has, between two neighbouring weights (linear
interpolation). In every seed the crossing is another; the interval is for new seeds and new
questions, and counts that crossing and interpolation depend on the answers, too (delta method).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixmerge.records import Axis
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.estimate import Estimate
from paper.scores import Formula, Scores


@dataclass(frozen=True)
class AtLevel:
    """A sweep against a model at the model's own value of one axis."""

    reached: int
    """Seeds in which two neighbouring points have the level between them."""
    seeds: int
    difference: Estimate | None
    """Of the other axis, sweep - model; None unless every seed reaches the level."""
    by_seed: Floats
    """NaN where the level is not reached, shape (seeds,)."""


def at_level(
    scores: Scores, path: Sequence[str], model: str, other: Axis, level: Axis = "safety"
) -> AtLevel:
    """Compare a path of models with one model, where the path has the model's value of an axis.

    Where a path crosses the level several times, the mean of all crossings counts.

    Args:
        scores: of all models.
        path: models from one end of a sweep to the other, at least two.
        model: gives the level.
        other: the axis that is compared.
        level: the axis that is matched.
    """
    heights = np.stack([scores.by_seed(level, {name: 1.0}) for name in path], axis=1)
    values = np.stack([scores.by_seed(other, {name: 1.0}) for name in path], axis=1)
    own, against = scores.by_seed(level, {model: 1.0}), scores.by_seed(other, {model: 1.0})
    weights, slopes = _crossings(heights, own, values)
    reached = int((weights.sum(axis=1) > 0).sum())
    found = np.where(weights.sum(axis=1) > 0, (weights * values).sum(axis=1), np.nan) - against
    if reached < len(found):
        return AtLevel(reached, len(found), None, found)
    # To first order the value at the crossing moves with the values beside it, and with how far
    # the crossing moves when the path or the level is measured higher.
    on_other: Formula = {n: weights[:, [i]] for i, n in enumerate(path)} | {model: -1.0}
    moved = {name: -slopes[:, [place]] for place, name in enumerate(path)}
    on_level: Formula = moved | {model: slopes.sum(axis=1, keepdims=True)}
    return AtLevel(
        reached, len(found), scores.over_axes({other: on_other, level: on_level}, found), found
    )


def _crossings(heights: Floats, level: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return how the value at the level depends on each point of the path.

    Args:
        heights: the path on the matched axis, shape (seeds, points).
        level: shape (seeds,).
        values: the path on the other axis, shape (seeds, points).

    Returns:
        Weights of the points' values, and of their heights times the slope there; both of shape
        (seeds, points), all zero in a seed that never crosses.
    """
    weights, slopes = np.zeros_like(values), np.zeros_like(values)
    for seed, here in enumerate(level):
        below, above = heights[seed, :-1] - here, heights[seed, 1:] - here
        # A point on the level belongs to the step that leads to it.
        at = np.flatnonzero((below * above < 0) | ((above == 0) & (below != 0)))
        for step in at:
            share = below[step] / (below[step] - above[step])
            rise = values[seed, step + 1] - values[seed, step]
            slope = rise / (above[step] - below[step])
            for place, part in ((step, 1 - share), (step + 1, share)):
                weights[seed, place] += part / len(at)
                slopes[seed, place] += slope * part / len(at)
    return weights, slopes
