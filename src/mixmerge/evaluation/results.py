"""From verdicts to ``results.json``: values, intervals, contrasts, decisions and fronts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.judge_warnings import judge_warnings
from mixmerge.evaluation.scores import AxisScores, score_table
from mixmerge.evaluation.spec import ResultsSpec
from mixmerge.fingerprint import fingerprint
from mixmerge.records import Axis, Response, Results, Verdict
from mixmerge.records.results import (
    AxisInfo,
    Comparison,
    Contrast,
    Costs,
    Decision,
    Front,
    Kind,
    ModelInfo,
    ModelResult,
    Stage,
    Volume,
)
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.estimate import Estimate
from mixmerge.stats.paired import benjamini_hochberg, holm, mcnemar_p, sign_flip_p
from mixmerge.stats.pareto import front_volume, hypervolume, probability_non_dominated

Verdicts = Mapping[str, Mapping[Axis, Sequence[Verdict]]]
"""By model and axis; the base model has none where its value is fixed by definition."""

SIGNIFICANCE = 0.05
"""Adjusted p-values below it count."""

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

Family = Literal["primary", "secondary"]
Pair = tuple[str, str, Family]
"""Two models to compare, a - b, and the family of tests that the comparison belongs to."""


def results(
    spec: ResultsSpec,
    base: str,
    models: Mapping[str, ModelInfo],
    verdicts: Verdicts,
    *,
    answers: Mapping[Axis, Mapping[str, Iterable[Response]]] | None = None,
    costs: Mapping[str, Costs] | None = None,
) -> Results:
    """Estimate everything that a study reports, with the same bootstrap draws for every model.

    The ``models``, ``base`` among them, are reported in their order. The lengths of their
    ``answers``, by axis and model, give the length-controlled win rate; without them there is none.

    Raises:
        SampleError: an axis has fewer than ten clusters with a verdict for some model.
        DataError: verdicts of a model are missing, or models were judged on other prompts.
        SpecError: a deciding axis is none, or a baseline is the base model.
    """
    _check(spec, base, models, verdicts)
    pairs = planned_contrasts(base, models, spec.baselines)
    infos = {
        axis: own.measure.info(own.better, primary=axis in (spec.decide_on or spec.axes))
        for axis, own in spec.axes.items()
    }
    scores = {
        axis: _axis_scores(spec, axis, base, models, verdicts, pairs, (answers or {}).get(axis))
        for axis in spec.axes
    }
    contrasts = _adjusted(
        [
            _contrast(spec, scores[axis], axis, pair)
            for pair in pairs
            for axis, info in infos.items()
            if info.primary
        ]
    )
    return Results(
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
        decisions=_decisions(pairs, models, infos, contrasts),
        fronts=_fronts(base, models, infos, scores),
        judge_warnings=judge_warnings(verdicts),
        costs=dict(costs or {}),
    )


def planned_contrasts(
    base: str, models: Mapping[str, ModelInfo], baselines: Mapping[Stage, str]
) -> list[Pair]:
    """Return what is tested, before anything is seen.

    The primary family: each merge against the baseline of its stage. The secondary family: every
    other model against the base model, and against the baseline, too, unless it is a mixture
    itself. A study without baselines tests every model against the base model, as its primary
    family.

    A baseline that is not among the models is left out.
    """
    others = {name: info for name, info in models.items() if name != base}
    if not any(name in models for name in baselines.values()):
        return [(name, base, "primary") for name in others] if not baselines else []
    primary: list[Pair] = []
    secondary: list[Pair] = []
    for name, info in others.items():
        baseline = baselines.get(info.stage or "")
        # Nothing is tested against itself.
        against = baseline if baseline in models and baseline != name else None
        if info.kind == "merge":
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
        raise SpecError("Results need at least one model besides the base model; 0 seen.")
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


def _axis_scores(
    spec: ResultsSpec,
    axis: Axis,
    base: str,
    models: Iterable[str],
    verdicts: Verdicts,
    pairs: Sequence[Pair],
    answers: Mapping[str, Iterable[Response]] | None,
) -> AxisScores:
    measure = spec.axes[axis].measure
    fixed = measure.of_base
    judged = [name for name in models if fixed is None or name != base]
    table = score_table(axis, {n: verdicts[n][axis] for n in judged}, measure.worth)
    if fixed is not None:
        # Against itself every comparison is a tie, by definition and without asking a judge.
        table.scores[base] = np.full(len(table.cluster), fixed)
    compared = [(a, b) for a, b, _ in pairs]
    lengths = {
        model: {answer.prompt: len(answer.text) for answer in rows}
        for model, rows in (answers or {}).items()
    }
    seed = [spec.seed, list(spec.axes).index(axis)]
    return AxisScores(table, measure, base, compared, draws=spec.draws, seed=seed, lengths=lengths)


def _fronts(
    base: str,
    models: Mapping[str, ModelInfo],
    infos: Mapping[Axis, AxisInfo],
    scores: Mapping[Axis, AxisScores],
) -> dict[Stage, Front]:
    axes = [(info, scores[axis]) for axis, info in infos.items() if info.primary]
    stages = dict.fromkeys(info.stage for info in models.values() if info.stage is not None)
    return {
        stage: front({n: i.kind for n, i in models.items() if i.stage == stage}, base, axes)
        for stage in stages
    }


def _contrast(spec: ResultsSpec, scores: AxisScores, axis: Axis, pair: Pair) -> Contrast:
    a, b, family = pair
    estimate, totals = scores.difference(a, b), scores.difference_totals(a, b)
    # A stream of its own: another contrast in the study changes no p-value of this one.
    rng = np.random.default_rng([spec.seed, int(fingerprint([axis, a, b])[:16], 16)])
    p = sign_flip_p(totals, rng, spec.draws)
    mcnemar = None
    if scores.is_independent(a, b):
        mcnemar = mcnemar_p(int(np.sum(totals > 0)), int(np.sum(totals < 0)))
    in_units, ends = spec.axes[axis].measure.of_difference, estimate.offered
    return Contrast(
        a=a,
        b=b,
        axis=axis,
        family=family,
        difference=in_units(estimate.value),
        ci=None if ends is None else (in_units(ends[0]), in_units(ends[1])),
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


def _decisions(
    pairs: Sequence[Pair],
    models: Mapping[str, ModelInfo],
    infos: Mapping[Axis, AxisInfo],
    contrasts: Sequence[Contrast],
) -> tuple[Comparison, ...]:
    gains = {
        (c.a, c.b, c.axis): significant_gain(infos[c.axis].sign * c.difference, c.p_adjusted)
        for c in contrasts
    }
    deciding = [axis for axis, info in infos.items() if info.primary]
    return tuple(
        Comparison(
            a=a,
            b=b,
            stage=models[a].stage,
            decision=decide(gains[a, b, axis] for axis in deciding),
            better=tuple(axis for axis in deciding if gains[a, b, axis] > 0),
            worse=tuple(axis for axis in deciding if gains[a, b, axis] < 0),
        )
        for a, b, family in pairs
        if family == "primary"
    )


def significant_gain(gain: float, p_adjusted: float) -> int:
    """Return 1 for a significant gain, -1 for a significant loss, 0 for neither.

    The gain is signed so that above zero is better; its p-value is adjusted for its family.
    """
    return 0 if p_adjusted >= SIGNIFICANCE else (gain > 0) - (gain < 0)


def decide(gains: Iterable[int | None]) -> Decision:
    """Say what the deciding axes say together.

    A model *beats* another when it is better on at least one axis and worse on none, *loses* in the
    reverse case, *trades* when it is better on one and worse on another, and is *undecided* when no
    difference is significant: no evidence is not equality. The gains are from `significant_gain`;
    None of an axis that is not compared yet.

    Example:
        >>> decide([1, 0, 1])
        'beats'
        >>> decide([1, -1])
        'trades'
    """
    signs = set(gains)
    if None in signs or not signs:
        return "incomplete"
    if signs >= {1, -1}:
        return "trades"
    return "beats" if 1 in signs else "loses" if -1 in signs else "undecided"


def front(kinds: Mapping[str, Kind], base: str, axes: Axes) -> Front:
    """Estimate who is on the front of some models, and how far the front reaches.

    Each axis has prompts of its own and is resampled independently; within an axis all models share
    their draws. The ``kinds`` are without the base model, the scores of the axes with it.
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
