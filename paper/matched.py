"""Matched comparison: the win rate of merges at the mix's harm rate, over seeds.

A merge's weight trades safety against other qualities. So methods are compared where the sweep of
weights has the same harm rate as the mix, by linear interpolation between two neighbouring weights.
Each seed has its own crossing. The interval is for new seeds and new questions, and accounts for
the dependence of the crossing and the interpolation on the answers (delta method).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixmerge.records import Axis
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.decision import Decision, decide
from mixmerge.stats.estimate import Estimate
from mixmerge.stats.matching import crossings
from paper.claims import compared
from paper.scores import Scores


@dataclass(frozen=True)
class AtLevel:
    """A sweep against a model at the model's value of one axis."""

    reached: int
    """Number of seeds in which the level is between two neighbouring points."""
    seeds: int
    difference: Estimate | None
    """Sweep - model on the other axis; None unless every seed reaches the level."""
    by_seed: Floats
    """Shape (seeds,); NaN where the level is not reached."""


@dataclass(frozen=True)
class Comparison:
    """Merges against the mix, at the mix's harm rate."""

    where: str
    method: str
    win: AtLevel
    over_refusal: AtLevel

    @property
    def decision(self) -> Decision | None:
        """The decision by win rate and over-refusal; None if the mix's harm is not reached."""
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

    If a path crosses the level several times, the mean over all crossings counts.

    Args:
        scores: of all models.
        paths: each lists the models of a sweep from end to end; the mean over paths is compared.
        model: its value is the level.
        other: the axis to compare.
        level: the axis to match.
    """
    own, against = scores.by_seed(level, {model: 1.0}), scores.by_seed(other, {model: 1.0})
    found = -against
    # To first order, the value at the crossing changes with the values on both sides, and with the
    # shift of the crossing when the path or the level is measured higher.
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
    crosses, along = crossings(heights, level)
    rises, steps = np.diff(values, axis=1), np.diff(heights, axis=1)
    share = crosses / np.maximum(crosses.sum(axis=1, keepdims=True), 1)
    # Where a step lies on the level, its height says nothing about the place of the crossing.
    slope = np.divide(rises, steps, out=np.zeros_like(rises), where=steps != 0)
    weights, slopes = np.zeros_like(values), np.zeros_like(values)
    for points, part in ((slice(None, -1), 1 - along), (slice(1, None), along)):
        counted = np.where(crosses, share * part, 0.0)
        weights[:, points] += counted
        slopes[:, points] += counted * slope
    return weights, slopes
