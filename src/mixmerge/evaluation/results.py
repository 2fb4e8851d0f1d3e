"""From verdicts to ``results.json``: rates, intervals, and the contrasts between models."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np

from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.axis_scores import AxisScores, Lengths
from mixmerge.evaluation.fronts import front
from mixmerge.evaluation.judge_warnings import judge_warnings
from mixmerge.evaluation.scores import score_table
from mixmerge.fingerprint import fingerprint
from mixmerge.records import Axis, Response, Results, Verdict
from mixmerge.records.results import Contrast, Costs, Front, Kind, ModelResult, Stage
from mixmerge.records.row import RowModel
from mixmerge.stats.multiplicity import benjamini_hochberg, holm
from mixmerge.stats.paired import mcnemar_p, sign_flip_p

Family = Literal["primary", "secondary"]
Pair = tuple[str, str, Family]
"""Two models to compare, a - b, and the family of tests that the comparison belongs to."""

_AXES: tuple[Axis, ...] = ("general", "safety", "over_refusal")
_CONTRAST_AXES: tuple[Literal["general", "safety"], ...] = ("general", "safety")


class ModelInfo(RowModel):
    """What a model is, for the table of results."""

    kind: Kind
    stage: Stage | None = None
    method: str | None = None
    """Merge method, for a merge."""
    safety_share: float | None = None
    """Share of safety rows in the training mixture, for a trained model."""


def results(
    study: str,
    base: str,
    models: Mapping[str, ModelInfo],
    verdicts: Mapping[str, Mapping[Axis, Sequence[Verdict]]],
    contrasts: Sequence[Pair] = (),
    *,
    answers: Mapping[str, Iterable[Response]] | None = None,
    costs: Mapping[str, Costs] | None = None,
    seed: int = 0,
    draws: int = 10_000,
) -> Results:
    """Estimate everything that a study reports, with the same bootstrap draws for every model.

    Args:
        study: name of the study.
        base: name of the base model. It needs verdicts on every axis but ``general``: against
            itself its win rate is one half by definition.
        models: what each model is, the base included, in the order of the report.
        verdicts: by model and axis.
        contrasts: pairs to test on both axes; p-values are adjusted within each family, both
            axes together.
        answers: of every model, the base included, to the prompts of the axis ``general``: their
            lengths give the length-controlled win rate. Without them there is none.
        costs: by model.
        seed: of all draws.
        draws: bootstrap samples, and sign patterns of the permutation tests.

    Raises:
        SampleError: an axis has fewer than ten clusters with a verdict for some model.
        DataError: verdicts of a model are missing, or models were judged on other prompts.
        SpecError: a contrast names an unknown model.
    """
    _check(base, models, verdicts, contrasts)
    pairs = [(a, b) for a, b, _ in contrasts]
    lengths = _lengths(answers) if answers else None
    axes = {
        axis: _axis_scores(
            axis,
            base,
            models,
            verdicts,
            pairs,
            seed,
            draws,
            lengths if axis == "general" else None,
        )
        for axis in _AXES
        if axis in verdicts[base] or axis == "general"
    }
    return Results(
        study=study,
        base=base,
        seed=seed,
        models={name: _model_result(name, info, axes) for name, info in models.items()},
        contrasts=_contrasts(contrasts, axes, seed, draws),
        fronts=_fronts(base, models, axes),
        judge_warnings=judge_warnings(verdicts),
        costs=dict(costs or {}),
    )


def _check(
    base: str,
    models: Mapping[str, ModelInfo],
    verdicts: Mapping[str, Mapping[Axis, Sequence[Verdict]]],
    contrasts: Sequence[Pair],
) -> None:
    if base not in models:
        raise SpecError(f"The base model {base!r} is not among the models: {', '.join(models)}.")
    if len(models) < 2:
        raise SpecError("Results need at least one model besides the base model; 0 seen.")
    for name in models:
        expected = set(verdicts.get(base, {})) | {"safety", "general"}
        absent = expected - set(verdicts.get(name, {})) - ({"general"} if name == base else set())
        if absent:
            raise DataError(f"model {name!r}: no verdicts on {', '.join(sorted(absent))}.")
    for a, b, _ in contrasts:
        for name in (a, b):
            if name not in models:
                raise SpecError(
                    f"The contrast {a} - {b} names {name!r}, which is not among the models: "
                    f"{', '.join(models)}."
                )


def _axis_scores(
    axis: Axis,
    base: str,
    models: Mapping[str, ModelInfo],
    verdicts: Mapping[str, Mapping[Axis, Sequence[Verdict]]],
    pairs: Sequence[tuple[str, str]],
    seed: int,
    draws: int,
    lengths: Lengths | None,
) -> AxisScores:
    judged = [name for name in models if axis != "general" or name != base]
    table = score_table(axis, {name: verdicts[name][axis] for name in judged})
    if axis == "general":
        # Against itself every comparison is a tie, by definition and without asking a judge.
        table.scores[base] = np.full(len(table.cluster), 0.5)
    entropy = [seed, _AXES.index(axis)]
    return AxisScores(table, base, pairs, draws=draws, seed=entropy, lengths=lengths)


def _lengths(answers: Mapping[str, Iterable[Response]]) -> Lengths:
    return {
        model: {answer.prompt: len(answer.text) for answer in rows}
        for model, rows in answers.items()
    }


def _fronts(
    base: str, models: Mapping[str, ModelInfo], axes: Mapping[Axis, AxisScores]
) -> dict[Stage, Front]:
    fronts: dict[Stage, Front] = {}
    for stage in get_args(Stage):
        kinds = {name: info.kind for name, info in models.items() if info.stage == stage}
        if kinds:
            fronts[stage] = front(kinds, base, axes["general"], axes["safety"])
    return fronts


def _model_result(name: str, info: ModelInfo, axes: Mapping[Axis, AxisScores]) -> ModelResult:
    over_refusal = axes.get("over_refusal")
    return ModelResult(
        stage=info.stage,
        kind=info.kind,
        method=info.method,
        safety_share=info.safety_share,
        general=axes["general"].general(name),
        safety=axes["safety"].safety(name),
        over_refusal=over_refusal.over_refusal(name) if over_refusal else None,
    )


def _contrasts(
    pairs: Sequence[Pair], axes: Mapping[Axis, AxisScores], seed: int, draws: int
) -> tuple[Contrast, ...]:
    made = [
        _contrast(axes[axis], axis, pair, seed, draws) for pair in pairs for axis in _CONTRAST_AXES
    ]
    return tuple(_adjusted(made))


def _contrast(
    scores: AxisScores, axis: Literal["general", "safety"], pair: Pair, seed: int, draws: int
) -> Contrast:
    a, b, family = pair
    estimate, totals = scores.difference(a, b), scores.difference_totals(a, b)
    # A stream of its own: another contrast in the study changes no p-value of this one.
    rng = np.random.default_rng([seed, int(fingerprint([axis, a, b])[:16], 16)])
    p = sign_flip_p(totals, rng, draws)
    mcnemar = None
    if axis == "safety" and scores.is_independent(a, b):
        mcnemar = mcnemar_p(int(np.sum(totals > 0)), int(np.sum(totals < 0)))
    return Contrast(
        a=a,
        b=b,
        axis=axis,
        family=family,
        difference=estimate.value,
        ci=estimate.offered,
        p=p,
        p_adjusted=p,
        p_mcnemar=mcnemar,
        n=estimate.clusters,
        absent={"ci": estimate.absent} if estimate.absent else {},
    )


def _adjusted(contrasts: Sequence[Contrast]) -> list[Contrast]:
    adjusted = list(contrasts)
    for family in ("primary", "secondary"):
        places = [i for i, contrast in enumerate(contrasts) if contrast.family == family]
        raw = [contrasts[i].p for i in places]
        for place, p, p_bh in zip(places, holm(raw), benjamini_hochberg(raw), strict=True):
            adjusted[place] = contrasts[place].model_copy(update={"p_adjusted": p, "p_bh": p_bh})
    return adjusted
