"""Compare sweeps with the baseline of their stage at the baseline's value of one axis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixmerge.evaluation.scores import AxisScores, in_units
from mixmerge.evaluation.spec import ResultsSpec
from mixmerge.records import Axis
from mixmerge.records.results import AxisInfo, ModelInfo
from mixmerge.records.sweeps import Matched, MatchedDifference
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.matching import matched_difference


def match_sweeps(
    spec: ResultsSpec,
    models: Mapping[str, ModelInfo],
    infos: Mapping[Axis, AxisInfo],
    scores: Mapping[Axis, AxisScores],
) -> tuple[Matched, ...]:
    """Compare every sweep with the baseline of its stage on the deciding axes.

    Within an axis all models share their bootstrap draws.
    """
    paths = {}
    for name, merges in spec.sweeps.items():
        baseline = spec.baselines.get((models[name].stage if name in models else "") or "")
        if spec.match_on is not None and baseline is not None and baseline in models:
            paths[name] = [*merges, baseline]
    names = list(dict.fromkeys(model for path in paths.values() for model in path))
    deciding = [axis for axis, info in infos.items() if info.primary or axis == spec.match_on]
    # All sweeps share their draws.
    measured = {axis: _Measured.of(scores[axis], names) for axis in deciding if names}
    return tuple(
        _matched(spec, name, path, spec.match_on, measured)
        for name, path in paths.items()
        if spec.match_on is not None
    )


@dataclass(frozen=True)
class _Measured:
    """The values of some models on one axis, as shares of its range."""

    place: Mapping[str, int]
    values: Floats
    """Shape (models,)."""
    draws: Floats
    """Shape (draws, models)."""
    clusters: Mapping[str, int]

    @classmethod
    def of(cls, scores: AxisScores, names: Sequence[str]) -> "_Measured":
        rates = [scores.rate(name) for name in names]
        return cls(
            {name: place for place, name in enumerate(names)},
            np.array([rate.value for rate in rates]),
            scores.pooled_draws(names),
            {name: rate.clusters for name, rate in zip(names, rates, strict=True)},
        )


def _matched(
    spec: ResultsSpec, name: str, path: list[str], axis: Axis, measured: Mapping[Axis, _Measured]
) -> Matched:
    points = {each: own.values[[own.place[m] for m in path]] for each, own in measured.items()}
    draws = {each: own.draws[:, [own.place[m] for m in path]] for each, own in measured.items()}
    differences = {}
    for other in measured:
        if other == axis:
            continue
        clusters = min(measured[each].clusters[model] for each in (axis, other) for model in path)
        estimate = matched_difference(
            (points[axis], points[other]), (draws[axis], draws[other]), clusters
        )
        unit = spec.axes[other].measure.of_difference
        differences[other] = MatchedDifference(
            difference=None if np.isnan(estimate.value) else unit(estimate.value),
            ci=in_units(estimate.offered, unit),
            absent=estimate.absent,
        )
    units = {each: spec.axes[each].measure.of_share for each in measured}
    return Matched(
        model=name,
        baseline=path[-1],
        axis=axis,
        level=units[axis](float(points[axis][-1])),
        differences=differences,
        sweep={
            merge: {each: units[each](float(points[each][place])) for each in measured}
            for place, merge in enumerate(path[:-1])
        },
    )
