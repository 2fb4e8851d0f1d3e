"""Length of training as a variable: values by steps, and whether merges want different lengths."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixmerge.evaluation.scores import AxisScores, in_units
from mixmerge.evaluation.spec import ResultsSpec
from mixmerge.fingerprint import fingerprint
from mixmerge.records import Axis
from mixmerge.records.results import AxisInfo, ModelInfo
from mixmerge.records.sweeps import (
    LengthComparison,
    LengthContrast,
    LengthCurve,
    LengthDecision,
    LengthPoint,
    Lengths,
)
from mixmerge.stats.estimate import Estimate
from mixmerge.stats.paired import holm
from mixmerge.stats.proportions import widening

Steps = tuple[int, int]


def compare_lengths(
    spec: ResultsSpec,
    models: Mapping[str, ModelInfo],
    infos: Mapping[Axis, AxisInfo],
    scores: Mapping[Axis, AxisScores],
    chosen: Mapping[str, str],
) -> Lengths | None:
    """Return the curves of ``spec.lengths``, and compare the merges that were chosen among steps.

    ``chosen`` has the winning candidate of such a merge on the prompts of ``selection``. Which
    steps are compared follows from these prompts alone, so the tests are on others.
    """
    axes = [axis for axis, info in infos.items() if info.primary or spec.chosen_on.get(axis)]
    curves = [
        LengthCurve(
            model=name,
            best=next((step for step, each in own.items() if each == chosen.get(name)), None),
            points={
                step: {axis: _point(scores[axis], each) for axis in axes}
                for step, each in own.items()
            },
        )
        for name, own in spec.lengths.items()
    ]
    pairs = [
        _Pair(a, b, (a.best, b.best), steps)
        for a, b in itertools.combinations(curves, 2)
        if a.best and b.best and models[a.model].stage == models[b.model].stage
        if (steps := _compared(a, b))
    ]
    measured = [
        {axis: _contrast(spec, scores[axis], axis, pair) for axis in axes} for pair in pairs
    ]
    adjusted = iter(holm([p for own in measured for _, p in own.values()]))
    comparisons = tuple(
        _comparison(spec, infos, pair, own, [next(adjusted) for _ in own], len(pairs))
        for pair, own in zip(pairs, measured, strict=True)
    )
    return Lengths(curves=tuple(curves), comparisons=comparisons) if curves else None


@dataclass(frozen=True)
class _Pair:
    """Two merges over steps."""

    a: LengthCurve
    b: LengthCurve
    best: Steps
    steps: Steps
    """The earlier and the later step that are compared."""

    @property
    def expected(self) -> int:
        """1 where a is expected to gain more by the later step than b, else -1."""
        return 1 if self.best[0] >= self.best[1] else -1


def _point(scores: AxisScores, model: str) -> LengthPoint:
    own = scores.score(model)
    return LengthPoint(value=own.value, ci=own.ci)


def _compared(a: LengthCurve, b: LengthCurve) -> Steps | None:
    """Return an earlier and a later step; see `LengthComparison.steps`."""
    common = sorted({*a.points} & {*b.points})
    best = sorted({a.best or 0, b.best or 0})
    if len(best) == 2 and {*best} <= {*common}:
        return best[0], best[1]
    return (common[0], common[-1]) if len(common) > 1 else None


def _contrast(
    spec: ResultsSpec, scores: AxisScores, axis: Axis, pair: _Pair
) -> tuple[Estimate, float]:
    a, b = (
        (spec.lengths[each.model][pair.steps[0]], spec.lengths[each.model][pair.steps[1]])
        for each in (pair.a, pair.b)
    )
    rng = np.random.default_rng([spec.seed, int(fingerprint([axis, *a, *b])[:16], 16)])
    return scores.change_difference(a, b, rng)


def _comparison(
    spec: ResultsSpec,
    infos: Mapping[Axis, AxisInfo],
    pair: _Pair,
    measured: Mapping[Axis, tuple[Estimate, float]],
    adjusted: Sequence[float],
    pairs: int,
) -> LengthComparison:
    axes = {}
    for (axis, (found, p)), p_adjusted in zip(measured.items(), adjusted, strict=True):
        unit = spec.axes[axis].measure.of_difference
        early, late = pair.steps
        changes = [each.points[late][axis].value - each.points[early][axis].value
                   for each in (pair.a, pair.b)]  # fmt: skip
        axes[axis] = LengthContrast(
            changes=(changes[0], changes[1]),
            difference=unit(found.value),
            ci=in_units(found.offered, unit),
            p=p,
            p_adjusted=p_adjusted,
            n=found.clusters,
            absent={"ci": found.absent} if found.absent else {},
        )
    weights = {axis: spec.chosen_on.get(axis, 0.0) for axis in measured}
    if not any(weights.values()):
        weights = dict.fromkeys(measured, 1.0)
    shares = {axis: each / sum(weights.values()) for axis, each in weights.items() if each}
    gain, down, up = _total({x: measured[x][0] for x in shares}, infos, shares, pair, pairs)
    ci = (gain - down, gain + up)
    margin = sum(
        share * infos[axis].margin / (infos[axis].bounds[1] - infos[axis].bounds[0])
        for axis, share in shares.items()
    )
    return LengthComparison(
        a=pair.a.model,
        b=pair.b.model,
        best=pair.best,
        steps=pair.steps,
        decision=_decision(pair, ci, margin),
        gain=gain,
        ci=ci,
        axes=axes,
    )


def _total(
    found: Mapping[Axis, Estimate],
    infos: Mapping[Axis, AxisInfo],
    shares: Mapping[Axis, float],
    pair: _Pair,
    pairs: int,
) -> tuple[float, float, float]:
    """Return the weighted sum of the axes' gains, and the distances to its ends.

    Axes have prompts of their own, so the distances to the ends add up as errors do (variance
    estimates recovery; Zou and Donner 2008), with Bonferroni's correction for the pairs.
    """
    value = down = up = 0.0
    for axis, own in found.items():
        sign, share = pair.expected * infos[axis].sign, shares[axis]
        wider = widening(max(own.clusters, 2), pairs)
        middle, low, high = (sign * each for each in (own.value, own.low, own.high))
        value += share * middle
        down += (share * wider * (middle - min(low, high))) ** 2
        up += (share * wider * (max(low, high) - middle)) ** 2
    return value, math.sqrt(down), math.sqrt(up)


def _decision(pair: _Pair, ci: tuple[float, float], margin: float) -> LengthDecision:
    if pair.best[0] == pair.best[1]:
        return "same"
    if pair.steps != tuple(sorted(pair.best)):
        return "undecided"
    if ci[0] > 0:
        return "differs"
    return "equivalent" if -margin < ci[0] and ci[1] < margin else "undecided"
