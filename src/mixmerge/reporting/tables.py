"""The tables of a report, one function each; `all_tables` is what gets written."""

from collections.abc import Mapping

from mixmerge.records.results import Contrast, ModelResult, Results, Stage
from mixmerge.reporting import formats
from mixmerge.reporting.cells import ABSENT, Cell, Column, Table, gain, rate, word
from mixmerge.reporting.costs import kind_table, model_table
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.judges import judge_tables
from mixmerge.reporting.languages import (
    general_by_language,
    harm_by_language,
    harm_change_by_language,
)
from mixmerge.reporting.robustness import fronts, otherwise
from mixmerge.reporting.roster import (
    KIND_NAMES,
    all_models,
    groups,
    stage_name,
)
from mixmerge.reporting.verdict import Conclusion, describe

DECISIONS = {
    "beats": "beats the mix",
    "trades": "trades",
    "undecided": "undecided",
    "loses": "loses",
    "incomplete": "not compared yet",
}


def all_tables(data: ReportInput, conclusion: Conclusion) -> list[Table]:
    """Return every table that has a row, in the order of the page."""
    tables = [models(data.results, data.baselines), contrasts(data.results, conclusion)]
    tables += [otherwise(data.results), fronts(data.results)]
    tables += [*per_language_tables(data), *judge_tables(data.judge_card)]
    tables += [model_table(data), kind_table(data.steps)]
    return [table for table in tables if table.rows]


def per_language_tables(data: ReportInput) -> list[Table]:
    """Return the tables by language, three for each stage: wins, harm, harm against the base."""
    return [
        table(data.results, stage, data.languages)
        for stage in groups(data.results)
        for table in (general_by_language, harm_by_language, harm_change_by_language)
    ]


def models(results: Results, baselines: Mapping[Stage, str]) -> Table:
    """Every model on both axes, with its gain over the baseline mixture of its stage.

    The form of Table 1 of Aakanksha et al. (2024), with absolute rates and intervals beside it.
    Gains are signed so that + is better on both axes.
    """
    columns = (
        Column("model", "Model", numeric=False),
        Column("win_rate", "Win rate", with_ci=True),
        Column("win_rate_gain", "Win gain over mix"),
        Column("harm_rate", "Harm rate", with_ci=True),
        Column("harm_relative_change", "Harm against base", with_ci=True),
        Column("harm_relative_gain", "Harm gain over mix"),
        Column("over_refusal", "Over-refusal", with_ci=True),
        Column("stage", "Stage", numeric=False),
        Column("kind", "Kind, safety share", numeric=False),
    )
    names = all_models(results)
    rows = tuple(_model_row(results, name, baselines) for name in names)
    caption = (
        "Win rate: share of answers better than the base model's, a tie counting one half. Harm "
        "against base: relative change of the harm rate. Gain over mix: percentage points better "
        "(+) or worse (−) than the baseline mixture of the same stage, without a test; the tests "
        "are in the table of contrasts. Over-refusal: refused harmless requests. Beneath each "
        "rate is its 95 % interval."
    )
    kinds = tuple(results.models[name].kind for name in names)
    return Table("models", "Every model on both axes", caption, columns, rows, kinds)


def _model_row(results: Results, name: str, baselines: Mapping[Stage, str]) -> tuple[Cell, ...]:
    model = results.models[name]
    baseline = baselines.get(model.stage) if model.stage else None
    mix = results.models.get(baseline) if baseline and baseline != name else None
    safety, refusal = model.safety, model.over_refusal
    relative = safety.relative_change
    return (
        word(name, emphasis=name in baselines.values()),
        rate(model.general.win_rate, model.general.ci),
        gain(model.general.win_rate - mix.general.win_rate if mix else None),
        rate(safety.harm_rate, safety.harm_ci),
        ABSENT
        if relative is None or model.kind == "base"
        else Cell(
            formats.change(relative),
            relative,
            safety.ci,
            formats.points_interval(safety.ci) if safety.ci else "",
        ),
        gain(_safety_gain(model, mix)),
        rate(refusal.rate, refusal.ci) if refusal else ABSENT,
        word(stage_name(model.stage)) if model.stage else ABSENT,
        word(_kind(model)),
    )


def _kind(model: ModelResult) -> str:
    if model.safety_share is None:
        return KIND_NAMES[model.kind]
    return f"{KIND_NAMES[model.kind]}, {formats.share(model.safety_share)}"


def _safety_gain(model: ModelResult, mix: ModelResult | None) -> float | None:
    if mix is None or mix.safety.relative_change is None or model.safety.relative_change is None:
        return None
    return mix.safety.relative_change - model.safety.relative_change


def contrasts(results: Results, conclusion: Conclusion) -> Table:
    """The paired comparisons that decide: each merge against the mixture of its stage."""
    columns = (
        Column("merge", "Merge", numeric=False),
        Column("baseline", "Against", numeric=False),
        Column("win_rate_difference", "Win rate, points", with_ci=True),
        Column("win_rate_p_adjusted", "p (Holm)"),
        Column("harm_rate_difference", "Harm rate, points", with_ci=True),
        Column("harm_rate_p_adjusted", "p (Holm)"),
        Column("decision", "Decision", numeric=False),
    )
    compared = [c for stage in conclusion.stages for c in stage.comparisons]
    rows = tuple(
        (
            word(c.merge),
            word(c.baseline or "–"),
            *_contrast_cells(c.general),
            *_contrast_cells(c.safety),
            word(DECISIONS[c.decision], emphasis=c.decision == "beats"),
        )
        for c in compared
    )
    mixes = " and ".join(
        f"{describe(results, verdict.comparisons[0].baseline)} ({stage_name(verdict.stage)})"
        for verdict in conclusion.stages
        if verdict.comparisons
    )
    caption = (
        f"Differences are merge minus mix ({mixes}) on the same prompts, with 95 % intervals. A "
        "higher win rate and a lower harm rate are better. p is adjusted by Holm's method over "
        "all primary comparisons."
    )
    marks = tuple(c.decision for c in compared)
    return Table("contrasts", "Each merge against the baseline mix", caption, columns, rows, marks)


def _contrast_cells(contrast: Contrast | None) -> tuple[Cell, Cell]:
    if contrast is None:
        return ABSENT, ABSENT
    p = contrast.p_adjusted
    text = "< 0.001" if p < 0.001 else f"{p:.3f}"
    return gain(contrast.difference, contrast.ci), Cell(text, p)
