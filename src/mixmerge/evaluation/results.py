"""Compute ``results.json`` from verdicts: values, intervals, contrasts and decisions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.advice import advise
from mixmerge.evaluation.answer_warnings import answer_warnings
from mixmerge.evaluation.fronts import front
from mixmerge.evaluation.judge_warnings import judge_warnings
from mixmerge.evaluation.lengths import compare_lengths
from mixmerge.evaluation.matching import match_sweeps
from mixmerge.evaluation.scores import AxisScores, in_units, score_table
from mixmerge.evaluation.spec import ResultsSpec
from mixmerge.fingerprint import fingerprint
from mixmerge.records import Axis, Response, Results, Verdict
from mixmerge.records.results import (
    AxisInfo,
    Comparison,
    Contrast,
    Costs,
    Front,
    ModelInfo,
    ModelResult,
    Stage,
    is_answer,
)
from mixmerge.stats.decision import ONE_SIDED, Compared, adjust_all_axes, decide, significant_gain
from mixmerge.stats.paired import benjamini_hochberg, holm, mcnemar_p

Verdicts = Mapping[str, Mapping[Axis, Sequence[Verdict]]]
"""By model and axis; the base model has none if its value is fixed by definition."""

Family = Literal["primary", "secondary"]
Pair = tuple[str, str, Family]
"""Two models to compare, a - b, and the family of tests that the comparison belongs to."""


def results(
    spec: ResultsSpec,
    base: str,
    models: Mapping[str, ModelInfo],
    verdicts: Verdicts,
    *,
    answers: Mapping[Axis, Mapping[str, Sequence[Response]]] | None = None,
    costs: Mapping[str, Costs] | None = None,
    chosen: Mapping[str, str] | None = None,
) -> Results:
    """Estimate everything that a study reports, with the same bootstrap draws for every model.

    The ``models`` (including ``base``) are reported in their order. ``answers``, by axis and model,
    are needed for length-controlled win rates and for warnings about answers. ``chosen`` has the
    winning candidates of merges over steps.

    Raises:
        SampleError: an axis has fewer than ten clusters with a verdict for some model.
        DataError: verdicts of a model are missing, or models were judged on different prompts.
        SpecError: a deciding axis does not exist, or a baseline is the base model.
    """
    _check(spec, base, models, verdicts)
    pairs = planned_contrasts(base, models, spec.baselines)
    infos = {
        axis: own.info(primary=axis in (spec.decide_on or spec.axes))
        for axis, own in spec.axes.items()
    }
    sweeps = {n: own for n, own in spec.sweeps.items() if all(m in verdicts for m in own)}
    lengths = {
        name: {step: model for step, model in own.items() if model in verdicts}
        for name, own in spec.lengths.items()
        if name in models
    }
    spec = spec.model_copy(update={"sweeps": sweeps, "lengths": lengths})
    beside = [*sweeps.values(), *map(dict.values, lengths.values())]
    judged = list(dict.fromkeys([*models, *(name for names in beside for name in names)]))
    scores = _scores(spec, base, judged, verdicts, pairs, answers or {})
    tested = [
        _contrast(spec, scores[axis], axis, pair)
        for pair in pairs
        for axis, info in infos.items()
        if info.primary
    ]
    contrasts = _with_margins(_adjusted(tested), infos, scores)
    found = Results(
        study=spec.study,
        base=base,
        seed=spec.seed,
        axes=infos,
        baselines=spec.baselines,
        models={
            name: ModelResult(
                **info.model_dump(), axes={axis: own.score(name) for axis, own in scores.items()}
            )
            for name, info in models.items()
        },
        contrasts=contrasts,
        decisions=_decisions(models, infos, contrasts),
        matched=match_sweeps(spec, models, infos, scores),
        lengths=compare_lengths(spec, models, infos, scores, chosen or {}),
        fronts=_fronts(models, infos, scores),
        judge_warnings=judge_warnings(
            {name: verdicts[name] for name in models if name in verdicts}
        ),
        answer_warnings=answer_warnings(answers or {}),
        costs=dict(costs or {}),
    )
    advice = advise(found, scores, spec.weights, spec.limits)
    return found.model_copy(update={"advice": advice})


def planned_contrasts(
    base: str, models: Mapping[str, ModelInfo], baselines: Mapping[Stage, str]
) -> list[Pair]:
    """Return the pairs of models to test, independent of any result.

    The primary family is each answer to the question, such as a merge or a student
    (`is_answer`), against the baseline of its stage. The secondary family is every other
    model against the base model and, unless it is a mixture, against the baseline. In a
    study without baselines, the primary family is every model against the base model. Baselines
    that are not among the models are left out.
    """
    others = {name: info for name, info in models.items() if name != base}
    if not any(name in models for name in baselines.values()):
        return [(name, base, "primary") for name in others] if not baselines else []
    primary: list[Pair] = []
    secondary: list[Pair] = []
    for name, info in others.items():
        baseline = baselines.get(info.stage or "")
        # No model is tested against itself.
        against = baseline if baseline in models and baseline != name else None
        if is_answer(info.arm, models[against].arm if against else ""):
            primary += [(name, against, "primary")] if against else []
        else:
            secondary.append((name, base, "secondary"))
            if against and info.kind != "mixture":
                secondary.append((name, against, "secondary"))
    return [*primary, *secondary]


def _check(
    spec: ResultsSpec, base: str, models: Mapping[str, ModelInfo], verdicts: Verdicts
) -> None:
    if base not in models:
        raise SpecError(f"The base model {base!r} is not among the models: {', '.join(models)}.")
    if len(models) < 2:
        raise SpecError("Results need at least one model besides the base model (seen: 0).")
    for name in models:
        absent = [
            axis
            for axis, own in spec.axes.items()
            if axis not in verdicts.get(name, {})
            and not (name == base and own.measure.of_base is not None)
        ]
        if absent:
            raise DataError(f"model {name!r}: no verdicts on {', '.join(sorted(absent))}.")
    for axis in spec.decide_on:
        if axis not in spec.axes:
            raise SpecError(f"decide_on: there is no axis {axis!r}, only {', '.join(spec.axes)}.")
    for stage, name in spec.baselines.items():
        if name == base:
            raise SpecError(f"baseline of {stage}: {name!r} is the base model; name a checkpoint.")


def _scores(
    spec: ResultsSpec,
    base: str,
    models: Iterable[str],
    verdicts: Verdicts,
    pairs: Sequence[Pair],
    answers: Mapping[Axis, Mapping[str, Sequence[Response]]],
) -> dict[Axis, AxisScores]:
    compared = [(a, b) for a, b, _ in pairs]
    places = {axis: place for place, axis in enumerate(spec.axes)}
    found = {}
    for axis, own in spec.axes.items():
        fixed = own.measure.of_base
        judged = [name for name in models if fixed is None or name != base]
        table = score_table(axis, {n: verdicts[n][axis] for n in judged}, own.measure.worth)
        if fixed is not None:
            # Every comparison of the base model with itself is a tie by definition.
            table.scores[base] = np.full(len(table.cluster), fixed)
        lengths = {
            model: {answer.prompt: len(answer.text) for answer in rows}
            for model, rows in answers.get(axis, {}).items()
        }
        # Axes with the same prompts share their draws: a model that is lucky with the prompts on
        # one of them may be so on the other.
        seed = [spec.seed, places[spec.prompts_of.get(axis, axis)]]
        found[axis] = AxisScores(
            table, own.measure, base, compared, draws=spec.draws, seed=seed, lengths=lengths
        )
    return found


def _fronts(
    models: Mapping[str, ModelInfo],
    infos: Mapping[Axis, AxisInfo],
    scores: Mapping[Axis, AxisScores],
) -> dict[Stage, Front]:
    axes = [(info, scores[axis]) for axis, info in infos.items() if info.primary]
    stages = dict.fromkeys(info.stage for info in models.values() if info.stage is not None)
    return {
        stage: front({n: i.kind for n, i in models.items() if i.stage == stage}, axes)
        for stage in stages
    }


def _contrast(spec: ResultsSpec, scores: AxisScores, axis: Axis, pair: Pair) -> Contrast:
    a, b, family = pair
    estimate, totals = scores.difference(a, b), scores.difference_totals(a, b)
    # Its own random stream, so that other contrasts of the study do not change this p-value.
    rng = np.random.default_rng([spec.seed, int(fingerprint([axis, a, b])[:16], 16)])
    p = scores.p_of_difference(a, b, rng)
    mcnemar = None
    if scores.is_independent(a, b):
        mcnemar = mcnemar_p(int(np.sum(totals > 0)), int(np.sum(totals < 0)))
    unit = spec.axes[axis].measure.of_difference
    return Contrast(
        a=a,
        b=b,
        axis=axis,
        family=family,
        difference=unit(estimate.value),
        ci=in_units(estimate.offered, unit),
        p=p,
        p_adjusted=p,
        p_mcnemar=mcnemar,
        n=estimate.clusters,
        absent={"ci": estimate.absent} if estimate.absent else {},
    )


def _adjusted(contrasts: Sequence[Contrast]) -> tuple[Contrast, ...]:
    adjusted = list(contrasts)
    for family in ("primary", "secondary"):
        places = [i for i, contrast in enumerate(contrasts) if contrast.family == family]
        raw = [contrasts[i].p for i in places]
        for place, p, p_bh in zip(places, holm(raw), benjamini_hochberg(raw), strict=True):
            adjusted[place] = contrasts[place].model_copy(update={"p_adjusted": p, "p_bh": p_bh})
    return tuple(adjusted)


def _with_margins(
    contrasts: Sequence[Contrast], infos: Mapping[Axis, AxisInfo], scores: Mapping[Axis, AxisScores]
) -> tuple[Contrast, ...]:
    """Test for each primary pair and axis whether a is worse, or better, by the margin."""
    tested, pairs = list(contrasts), _primary_pairs(contrasts).values()
    for field, direction in (("p_not_worse", 1), ("p_not_better", -1)):
        raw = [[_p_within(contrasts[i], infos, scores, direction) for i in pair] for pair in pairs]
        for places, p_values in zip(pairs, adjust_all_axes(raw), strict=True):
            for place, p in zip(places, p_values, strict=True):
                tested[place] = tested[place].model_copy(update={field: p})
    return tuple(tested)


def _primary_pairs(contrasts: Sequence[Contrast]) -> dict[tuple[str, str], list[int]]:
    """Return the indices of the contrasts of each pair of the primary family."""
    pairs: dict[tuple[str, str], list[int]] = {}
    for place, each in enumerate(contrasts):
        if each.family == "primary":
            pairs.setdefault((each.a, each.b), []).append(place)
    return pairs


def _p_within(
    each: Contrast,
    infos: Mapping[Axis, AxisInfo],
    scores: Mapping[Axis, AxisScores],
    direction: int,
) -> float:
    info = infos[each.axis]
    low, high = info.bounds
    margin = info.margin / (high - low)
    return scores[each.axis].p_within(each.a, each.b, margin, direction * info.sign)


def _compared(contrast: Contrast, info: AxisInfo) -> Compared:
    inside = [
        p is not None and p < ONE_SIDED for p in (contrast.p_not_worse, contrast.p_not_better)
    ]
    gain = significant_gain(info.sign * contrast.difference, contrast.p_adjusted)
    return Compared(gain, *inside)


def _decisions(
    models: Mapping[str, ModelInfo], infos: Mapping[Axis, AxisInfo], contrasts: Sequence[Contrast]
) -> tuple[Comparison, ...]:
    """Return the decision for every primary pair over all deciding axes."""
    deciding = [axis for axis, info in infos.items() if info.primary]
    of_pair = {
        pair: {contrasts[i].axis: _compared(contrasts[i], infos[contrasts[i].axis]) for i in places}
        for pair, places in _primary_pairs(contrasts).items()
    }
    return tuple(
        Comparison(
            a=a,
            b=b,
            stage=models[a].stage,
            decision=decide(said.get(axis) for axis in deciding),
            better=tuple(axis for axis in said if said[axis].gain > 0),
            worse=tuple(axis for axis in said if said[axis].gain < 0),
            not_worse=tuple(axis for axis in said if said[axis].not_worse),
        )
        for (a, b), said in of_pair.items()
    )
