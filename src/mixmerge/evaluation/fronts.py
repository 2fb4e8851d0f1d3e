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


def front(kinds: Mapping[str, Kind], base: str, axes: Axes) -> Front:
    """Estimate who is on the front of some models, and how far the front reaches.

    Each axis has prompts of its own and is resampled independently; within an axis all models
    share their draws.

    The ``kinds`` are without the base model, the scores of the axes with it.
    """
    names = list(kinds)
    draws = [scores.pooled_draws([base, *names]) for _, scores in axes]
    signed = [info.sign * drawn[:, 1:] for (info, _), drawn in zip(axes, draws, strict=True)]
    share = probability_non_dominated(np.stack(signed, axis=2))
    return Front(
        p_non_dominated=dict(zip(names, share.tolist(), strict=True)),
        volumes=_volumes(kinds, base, axes, draws) if len(axes) <= MOST_AXES else {},
    )


def _volumes(
    kinds: Mapping[str, Kind], base: str, axes: Axes, draws: Sequence[Floats]
) -> dict[Group, Volume]:
    names = [base, *kinds]
    values = [np.array([scores.rate(name).value for name in names]) for _, scores in axes]
    if any(info.relative and own[0] == 0 for (info, _), own in zip(axes, values, strict=True)):
        return {}
    points = np.stack([_gains(info, v) for (info, _), v in zip(axes, values, strict=True)], axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = [_gains(info, drawn) for (info, _), drawn in zip(axes, draws, strict=True)]
    drawn = np.stack(gains, axis=2)
    volumes: dict[Group, Volume] = {}
    for group, members in _KINDS.items():
        inside = [name for name in kinds if kinds[name] in members]
        if inside:
            places = [list(kinds).index(name) for name in inside]
            estimate = _volume(inside, points[places], drawn[:, places], axes)
            volumes[group] = Volume(
                hypervolume=estimate.value, ci=estimate.offered, absent=estimate.absent
            )
    return volumes


def _gains(info: AxisInfo, shares: Floats) -> Floats:
    """Return how much better than the first, the base model, each model is: (..., models - 1)."""
    base, others = shares[..., :1], shares[..., 1:]
    gains: Floats = (
        info.sign * (others / base - 1) if info.relative else info.sign * (others - base)
    )
    return gains


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
