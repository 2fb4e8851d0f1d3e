"""The best trade-offs between the deciding axes, stage by stage."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from mixmerge.evaluation.scores import AxisScores
from mixmerge.records.results import AxisInfo, Front, Kind, Volume
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.estimate import Estimate
from mixmerge.stats.pareto import front_volume, hypervolume, probability_non_dominated

MOST_AXES = 4
"""Axes up to which a volume is computed: beyond, nearly every model is on the front anyway."""

Group = Literal["all", "trained", "merges"]

_KINDS: Mapping[Group, tuple[Kind, ...]] = {
    "all": ("given", "mixture", "expert", "merge"),
    "trained": ("given", "mixture", "expert"),
    "merges": ("merge",),
}

Axes = Sequence[tuple[AxisInfo, AxisScores]]
"""The deciding axes."""


def front(kinds: Mapping[str, Kind], axes: Axes) -> Front:
    """Estimate who is on the front of some models, and how far the front reaches.

    All models share their draws, and so do axes with the same prompts; other axes are resampled
    independently.

    Args:
        kinds: what each model is, without the base model.
        axes: the scores of all models.
    """
    names = list(kinds)
    draws = np.stack([goodness(info, scores.pooled_draws(names)) for info, scores in axes], axis=2)
    share = probability_non_dominated(draws)
    return Front(
        p_non_dominated=dict(zip(names, share.tolist(), strict=True)),
        volumes=_volumes(kinds, axes, draws) if len(axes) <= MOST_AXES else {},
    )


def goodness(info: AxisInfo, shares: Floats) -> Floats:
    """Return how far values are from the worst that there can be, in shares of the range."""
    return shares if info.sign > 0 else 1 - shares


def _volumes(kinds: Mapping[str, Kind], axes: Axes, draws: Floats) -> dict[Group, Volume]:
    names = list(kinds)
    points = np.stack(
        [
            goodness(info, np.array([scores.rate(name).value for name in names]))
            for info, scores in axes
        ],
        axis=-1,
    )
    volumes: dict[Group, Volume] = {}
    for group, members in _KINDS.items():
        places = [place for place, name in enumerate(names) if kinds[name] in members]
        if places:
            inside = [names[place] for place in places]
            estimate = _volume(inside, points[places], draws[:, places], axes)
            volumes[group] = Volume(
                hypervolume=estimate.value, ci=estimate.offered, absent=estimate.absent
            )
    return volumes


def _volume(names: Sequence[str], points: Floats, draws: Floats, axes: Axes) -> Estimate:
    corner = (0.0,) * len(axes)
    clusters = min(scores.rate(name).clusters for _, scores in axes for name in names)
    for name in names:
        for info, scores in axes:
            if scores.rate(name).absent:
                reason = f"{info.phrase} of {name} has no interval"
                value = float(hypervolume(points, corner))
                return Estimate.without_interval(value, 0, clusters, reason)
    return front_volume(points, draws, corner, clusters)
