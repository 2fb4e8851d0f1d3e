"""The best trade-offs between helpfulness and safety, stage by stage."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from mixmerge.evaluate.axis_scores import AxisScores
from mixmerge.records.results import Area, Front, Kind
from mixmerge.stats.bootstrap import Floats, percentile_interval
from mixmerge.stats.pareto import hypervolume, probability_non_dominated

BASE_MODEL = (0.5, 0.0)
"""The corner that areas are measured from: no more wins than losses, no less harm."""

_KINDS: Mapping[Literal["all", "trained", "merges"], tuple[Kind, ...]] = {
    "all": ("mixture", "expert", "merge"),
    "trained": ("mixture", "expert"),
    "merges": ("merge",),
}


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
        areas=_areas(kinds, base, general, safety, wins, harms),
    )


def _areas(
    kinds: Mapping[str, Kind],
    base: str,
    general: AxisScores,
    safety: AxisScores,
    wins: Floats,
    harms: Floats,
) -> dict[Literal["all", "trained", "merges"], Area]:
    harm_of_base = safety.pooled(base)
    if harm_of_base == 0:
        return {}
    points = np.array([(general.pooled(n), 1 - safety.pooled(n) / harm_of_base) for n in kinds])
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.stack([wins, 1 - harms[:, 1:] / harms[:, :1]], axis=2)
    areas: dict[Literal["all", "trained", "merges"], Area] = {}
    for group, members in _KINDS.items():
        chosen = [place for place, kind in enumerate(kinds.values()) if kind in members]
        if chosen:
            areas[group] = Area(
                hypervolume=float(hypervolume(points[chosen], BASE_MODEL)),
                ci=percentile_interval(hypervolume(drawn[:, chosen], BASE_MODEL)),
            )
    return areas
