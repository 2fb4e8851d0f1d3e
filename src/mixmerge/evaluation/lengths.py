"""Length of training as a variable: values by steps, and whether merges want different lengths."""

import itertools
from collections.abc import Mapping, Sequence

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
from mixmerge.stats.decision import significant_gain
from mixmerge.stats.paired import holm

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
    deciding = {axis: info for axis, info in infos.items() if info.primary}
    best = {
        name: next((step for step, model in own.items() if model == chosen.get(name)), None)
        for name, own in spec.lengths.items()
    }
    curves = tuple(
        LengthCurve(
            model=name,
            best=best[name],
            points={
                step: {axis: _point(scores[axis], model) for axis in deciding}
                for step, model in own.items()
            },
        )
        for name, own in spec.lengths.items()
    )
    if not curves:
        return None
    found = []
    for a, b in itertools.combinations([c for c in curves if c.best is not None], 2):
        steps = _compared(a, b)
        same_stage = models[a.model].stage == models[b.model].stage
        if a.best and b.best and steps and same_stage:
            axes = {x: _contrast(spec, scores[x], x, (a.model, b.model), steps) for x in deciding}
            found.append(
                LengthComparison(
                    a=a.model, b=b.model, best=(a.best, b.best), steps=steps,
                    decision="undecided", axes=axes,
                )
            )  # fmt: skip
    return Lengths(curves=curves, comparisons=_decided(found, deciding))


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
    spec: ResultsSpec, scores: AxisScores, axis: Axis, names: tuple[str, str], steps: Steps
) -> LengthContrast:
    a, b = ((spec.lengths[name][steps[0]], spec.lengths[name][steps[1]]) for name in names)
    rng = np.random.default_rng([spec.seed, int(fingerprint([axis, *a, *b])[:16], 16)])
    estimate, p = scores.change_difference(a, b, rng)
    measure = spec.axes[axis].measure
    unit = measure.of_difference
    changes = [unit(scores.rate(late).value - scores.rate(early).value) for early, late in (a, b)]
    return LengthContrast(
        changes=(changes[0], changes[1]),
        difference=unit(estimate.value),
        ci=in_units(estimate.offered, unit),
        p=p,
        p_adjusted=p,
        n=estimate.clusters,
        absent={"ci": estimate.absent} if estimate.absent else {},
    )


def _decided(
    found: Sequence[LengthComparison], infos: Mapping[Axis, AxisInfo]
) -> tuple[LengthComparison, ...]:
    """Adjust the p-values of all pairs and axes together, and decide each pair."""
    adjusted = iter(holm([own.p for pair in found for own in pair.axes.values()]))
    pairs = [
        pair.model_copy(
            update={
                "axes": {
                    axis: own.model_copy(update={"p_adjusted": next(adjusted)})
                    for axis, own in pair.axes.items()
                }
            }
        )
        for pair in found
    ]
    return tuple(pair.model_copy(update={"decision": _decision(pair, infos)}) for pair in pairs)


def _decision(pair: LengthComparison, infos: Mapping[Axis, AxisInfo]) -> LengthDecision:
    if pair.best[0] == pair.best[1]:
        return "same"
    if pair.steps != tuple(sorted(pair.best)):
        return "undecided"
    # Where a was best after the later step, a is expected to gain more by it than b.
    expected = 1 if pair.best[0] > pair.best[1] else -1
    gains = {
        expected * significant_gain(infos[axis].sign * own.difference, own.p_adjusted)
        for axis, own in pair.axes.items()
    }
    if 1 in gains and -1 not in gains:
        return "differs"
    within = (
        own.ci is not None and max(map(abs, own.ci)) < infos[axis].margin
        for axis, own in pair.axes.items()
    )
    return "equivalent" if all(within) else "undecided"
