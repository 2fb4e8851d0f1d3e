"""The best trade-offs between helpfulness and safety, stage by stage."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from mixmerge.evaluation.axis_scores import AxisScores
from mixmerge.records.results import Area, Front, Kind
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.estimate import Estimate
from mixmerge.stats.pareto import front_area, hypervolume, probability_non_dominated

BASE_MODEL = (0.5, 0.0)
"""The corner that areas are measured from: no more wins than losses, no less harm."""

Group = Literal["all", "trained", "merges"]

_KINDS: Mapping[Group, tuple[Kind, ...]] = {
    "all": ("mixture", "expert", "merge"),
    "trained": ("mixture", "expert"),
    "merges": ("merge",),
}


_Draws = tuple[Floats, Floats]
"""Win rates and harm rates in every draw; of the latter the base model's come first."""


def front(kinds: Mapping[str, Kind], base: str, general: AxisScores, safety: AxisScores) -> Front:
    """Estimate who is on the front of some models, and how far the front reaches.

    The two axes have prompts of their own and are resampled independently; within an axis all
    models share their draws.

    Args:
        kinds: what each model is, without the base model.
        base: name of the base model.
        general: the win rates.
        safety: the harm rates, the base model's included.
    """
    names = list(kinds)
    wins, harms = general.pooled_draws(names), safety.pooled_draws([base, *names])
    share = probability_non_dominated(np.stack([wins, -harms[:, 1:]], axis=2))
    return Front(
        p_non_dominated=dict(zip(names, share.tolist(), strict=True)),
        areas=_areas(kinds, base, general, safety, (wins, harms)),
    )


def _areas(
    kinds: Mapping[str, Kind], base: str, general: AxisScores, safety: AxisScores, draws: _Draws
) -> dict[Group, Area]:
    harm_of_base = safety.rate(base).value
    if harm_of_base == 0:
        return {}
    points = np.array(
        [(general.rate(n).value, 1 - safety.rate(n).value / harm_of_base) for n in kinds]
    )
    wins, harms = draws
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.stack([wins, 1 - harms[:, 1:] / harms[:, :1]], axis=2)
    areas: dict[Group, Area] = {}
    for group, members in _KINDS.items():
        names = [name for name in kinds if kinds[name] in members]
        if names:
            places = [list(kinds).index(name) for name in names]
            estimate = _area(names, points[places], drawn[:, places], general, safety)
            areas[group] = Area(
                hypervolume=estimate.value, ci=estimate.offered, absent=estimate.absent
            )
    return areas


def _area(
    names: Sequence[str], points: Floats, draws: Floats, general: AxisScores, safety: AxisScores
) -> Estimate:
    clusters = min(scores.rate(name).clusters for scores in (general, safety) for name in names)
    for name in names:
        for what, scores in (("win rate", general), ("harm rate", safety)):
            if scores.rate(name).absent:
                reason = f"the {what} of {name} has no interval"
                value = float(hypervolume(points, BASE_MODEL))
                return Estimate.without_interval(value, 0, clusters, reason)
    return front_area(points, draws, BASE_MODEL, clusters)
