"""How much the rates and the front depend on choices that could have been made otherwise."""

from mixmerge.records.results import (
    Average,
    Front,
    GeneralScore,
    LengthControlled,
    Results,
    SafetyScore,
)
from mixmerge.reporting import formats
from mixmerge.reporting.cells import ABSENT, Cell, Column, Table, number, rate, word
from mixmerge.reporting.roster import all_models, models_of, stage_name

_GROUPS = {
    "all": "all models",
    "trained": "mixtures and experts",
    "merges": "merges",
}


def otherwise(results: Results) -> Table:
    """The rates with other weights for languages, other lengths, and the missing verdicts."""
    columns = (
        Column("model", "Model", numeric=False),
        Column("win_rate", "Win rate", with_ci=True),
        Column("win_rate_length_controlled", "at equal length", with_ci=True),
        Column("win_rate_average", "mean of languages", with_ci=True),
        Column("win_rate_bounds", "missing verdicts", with_ci=True),
        Column("general_missing", "Missing"),
        Column("harm_rate", "Harm rate", with_ci=True),
        Column("harm_rate_average", "mean of languages", with_ci=True),
        Column("harm_rate_bounds", "missing verdicts", with_ci=True),
        Column("safety_missing", "Missing"),
    )
    names = all_models(results)
    caption = (
        "Rates as above, and counted otherwise. At equal length: the win rate if all answers were "
        "as long as the base model’s (a fit, not a count). Mean of languages: every language "
        "counts the same, not every prompt. Missing verdicts: the rate if all were losses or "
        "harmless, to the rate if all were wins or harmful."
    )
    rows = tuple(
        (
            word(name),
            *_general_cells(results.models[name].general),
            *_safety_cells(results.models[name].safety),
        )
        for name in names
    )
    if not any(cell.text != ABSENT.text for row in rows for cell in _otherwise_cells(row)):
        rows = ()
    title = "The same rates, counted otherwise"
    return Table("otherwise", title, f"{caption}{_absent(results)}", columns, rows)


def _otherwise_cells(row: tuple[Cell, ...]) -> tuple[Cell, ...]:
    return (*row[2:5], *row[7:9])


def _general_cells(score: GeneralScore) -> tuple[Cell, ...]:
    return (
        rate(score.win_rate, score.ci),
        _length_controlled(score.length_controlled),
        _average(score.average),
        _bounds(score.bounds, score.missing),
        number(score.missing),
    )


def _safety_cells(score: SafetyScore) -> tuple[Cell, ...]:
    return (
        rate(score.harm_rate, score.harm_ci),
        _average(score.average),
        _bounds(score.bounds, score.missing),
        number(score.missing),
    )


def _average(found: Average | None) -> Cell:
    return ABSENT if found is None else rate(found.rate, found.ci)


def _length_controlled(found: LengthControlled | None) -> Cell:
    return ABSENT if found is None else rate(found.win_rate, found.ci)


def _bounds(ends: tuple[float, float] | None, missing: int) -> Cell:
    if ends is None or not missing:
        return ABSENT
    return Cell(formats.percent_interval(ends), None, ends)


def _absent(results: Results) -> str:
    """Say why some intervals are not offered."""
    reasons = {
        reason
        for model in results.models.values()
        for score in (model.general, model.safety)
        for reason in score.absent.values()
    }
    return "".join(f" No interval: {reason.rstrip('.')}." for reason in sorted(reasons))


def fronts(results: Results) -> Table:
    """How often each model is on the front when the questions are drawn again."""
    columns = (
        Column("model", "Model", numeric=False),
        Column("stage", "Stage", numeric=False),
        Column("p_non_dominated", "On the front"),
    )
    rows = tuple(
        (word(name), word(stage_name(stage)), rate(front.p_non_dominated[name]))
        for stage, front in results.fronts.items()
        for name in models_of(results, stage)
        if name in front.p_non_dominated
    )
    caption = (
        "Share of bootstrap draws of the questions in which no other model of the stage is at "
        "least as good on both axes and better on one." + _areas(results)
    )
    kinds = tuple(results.models[row[0].text].kind for row in rows)
    return Table("fronts", "Who is on the front?", caption, columns, rows, kinds)


def _areas(results: Results) -> str:
    said = [f" {stage_name(stage)}: {_area_words(f)}." for stage, f in results.fronts.items()]
    if not any(front.areas for front in results.fronts.values()):
        return ""
    return (
        " Area above the base model that is dominated, win rate beyond one half times relative "
        "reduction of harm (at most 50 %):" + "".join(said)
    )


def _area_words(front: Front) -> str:
    parts = []
    for group, area in front.areas.items():
        ci = f" ({formats.percent_interval(area.ci)})" if area.ci else ""
        parts.append(f"{_GROUPS[group]} {formats.percent(area.hypervolume)}{ci}")
    return ", ".join(parts) or "none"
