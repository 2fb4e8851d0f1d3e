"""Methods at the same price: the win rate of merges at the mix's own harm, over seeds.

A merge has a weight, and every weight buys safety with something else. So methods are compared
where the sweep of weights has the harm rate that the mix has, between two neighbouring weights
(linear interpolation). In every seed the crossing is another; the interval is for new seeds and new
questions, and counts that crossing and interpolation depend on the answers, too (delta method).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixmerge.records import Axis
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.decision import Decision, decide
from mixmerge.stats.estimate import Estimate
from paper.claims import compared
from paper.scores import Scores


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


@dataclass(frozen=True)
class Comparison:
    """Merges against the mix, at the mix's own harm."""

    where: str
    method: str
    win: AtLevel
    over_refusal: AtLevel

    @property
    def decision(self) -> Decision | None:
        """What win rate and over-refusal say together; None where the mix's harm is not reached."""
        if self.win.difference is None or self.over_refusal.difference is None:
            return None
        return decide(
            [compared(self.win.difference, 1), compared(self.over_refusal.difference, -1)]
        )


def at_level(
    scores: Scores,
    paths: Sequence[Sequence[str]],
    model: str,
    other: Axis,
    level: Axis = "safety",
) -> AtLevel:
    """Compare paths of models with one model, where a path has the model's value of an axis.

    Where a path crosses the level several times, the mean of all crossings counts.

    Args:
        scores: of all models.
        paths: each the models from one end of a sweep to the other; their mean is compared.
        model: gives the level.
        other: the axis that is compared.
        level: the axis that is matched.
    """
    own, against = scores.by_seed(level, {model: 1.0}), scores.by_seed(other, {model: 1.0})
    found = -against
    # To first order the value at the crossing moves with the values beside it, and with how far
    # the crossing moves when the path or the level is measured higher.
    on_other: dict[str, Floats] = {model: np.full((len(own), 1), -1.0)}
    on_level: dict[str, Floats] = {model: np.zeros((len(own), 1))}
    for path in paths:
        heights = np.stack([scores.by_seed(level, {name: 1.0}) for name in path], axis=1)
        values = np.stack([scores.by_seed(other, {name: 1.0}) for name in path], axis=1)
        weights, slopes = (each / len(paths) for each in _crossings(heights, own, values))
        crossed = weights.sum(axis=1) > 0
        found = found + np.where(crossed, (weights * values).sum(axis=1), np.nan)
        on_level[model] = on_level[model] + slopes.sum(axis=1, keepdims=True)
        for place, name in enumerate(path):
            on_other[name] = on_other.get(name, 0.0) + weights[:, [place]]
            on_level[name] = on_level.get(name, 0.0) - slopes[:, [place]]
    reached = int(np.isfinite(found).sum())
    if reached < len(found):
        return AtLevel(reached, len(found), None, found)
    estimate = scores.over_axes({other: on_other, level: on_level}, found)
    return AtLevel(reached, len(found), estimate, found)


def compare(
    where: str, method: str, scores: Scores, paths: Sequence[Sequence[str]], mix: str
) -> Comparison:
    """Compare paths of weights with a mix on win rate and over-refusal."""
    win, refusal = (at_level(scores, paths, mix, axis) for axis in ("general", "over_refusal"))
    return Comparison(where, method, win, refusal)


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
