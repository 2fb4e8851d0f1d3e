"""Sweeps against the baseline of their stage, at the baseline's own value of one axis."""

from collections.abc import Mapping

import numpy as np

from mixmerge.evaluation.scores import AxisScores
from mixmerge.evaluation.spec import ResultsSpec
from mixmerge.records import Axis
from mixmerge.records.results import AxisInfo, Matched, MatchedDifference, ModelInfo
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.matching import matched_difference


def match_sweeps(
    spec: ResultsSpec,
    models: Mapping[str, ModelInfo],
    infos: Mapping[Axis, AxisInfo],
    scores: Mapping[Axis, AxisScores],
) -> tuple[Matched, ...]:
    """Compare every sweep with the baseline of its stage on the deciding axes.

    All models share their bootstrap draws within an axis; axes have prompts of their own.
    """
    found = []
    for name, merges in spec.sweeps.items():
        baseline = spec.baselines.get((models[name].stage if name in models else "") or "")
        if spec.match_on is not None and baseline is not None and baseline in models:
            path = [*merges, baseline]
            found.append(_matched(spec, name, path, spec.match_on, infos, scores))
    return tuple(found)


def _matched(
    spec: ResultsSpec,
    name: str,
    path: list[str],
    axis: Axis,
    infos: Mapping[Axis, AxisInfo],
    scores: Mapping[Axis, AxisScores],
) -> Matched:
    deciding = [each for each, info in infos.items() if info.primary or each == axis]
    points = {each: _values(scores[each], path) for each in deciding}
    draws = {each: scores[each].pooled_draws(path) for each in deciding}
    differences = {}
    for other in deciding:
        if other == axis:
            continue
        clusters = min(
            scores[each].rate(model).clusters for each in (axis, other) for model in path
        )
        estimate = matched_difference(
            (points[axis], points[other]), (draws[axis], draws[other]), clusters
        )
        in_units, ends = spec.axes[other].measure.of_difference, estimate.offered
        differences[other] = MatchedDifference(
            difference=None if np.isnan(estimate.value) else in_units(estimate.value),
            ci=None if ends is None else (in_units(ends[0]), in_units(ends[1])),
            absent=estimate.absent,
        )
    in_units_of = {each: spec.axes[each].measure.of_share for each in deciding}
    return Matched(
        model=name,
        baseline=path[-1],
        axis=axis,
        level=in_units_of[axis](float(points[axis][-1])),
        differences=differences,
        sweep={
            merge: {each: in_units_of[each](float(points[each][place])) for each in deciding}
            for place, merge in enumerate(path[:-1])
        },
    )


def _values(scores: AxisScores, models: list[str]) -> Floats:
    return np.array([scores.rate(model).value for model in models])
