"""The tables of a report, one function each; `all_tables` is what gets written."""

from mixmerge.records.results import ModelResult, Results
from mixmerge.reporting import axes
from mixmerge.reporting.cells import ABSENT, Cell, Column, Table, number, without_empty_columns, word
from mixmerge.reporting.costs import kind_table, model_table
from mixmerge.reporting.formats import share
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.judges import judge_tables
from mixmerge.reporting.languages import language_tables
from mixmerge.reporting.models import KIND_NAMES, all_models, describe, stage_name
from mixmerge.reporting.robustness import fronts, otherwise
from mixmerge.reporting.verdict import Conclusion, contrasts_of

DECISIONS = {
    "beats": "beats it",
    "trades": "trades",
    "undecided": "undecided",
    "loses": "loses",
    "incomplete": "not compared yet",
}


def all_tables(data: ReportInput, conclusion: Conclusion) -> dict[str, list[Table]]:
    """Return every table that has a row, by section of the page and in its order."""
    results = data.results
    sections = {
        "verdict": [contrasts(results, conclusion)],
        "fronts": [fronts(results)],
        "models": [models(results)],
        "otherwise": [otherwise(results, axis) for axis in results.axes],
        "languages": language_tables(results, data.languages),
        "judges": judge_tables(data.judge_card),
        "costs": [model_table(data), kind_table(data.steps)],
        "axes": [measured(results)],
    }
    return {name: [table for table in found if table.rows] for name, found in sections.items()}


def measured(results: Results) -> Table:
    """What each axis measures, and whether it decides."""
    columns = (
        Column("axis", "Axis", numeric=False),
        Column("measure", "Measure", numeric=False),
        Column("value", "Value", numeric=False),
        Column("better", "Better", numeric=False),
        Column("lowest", "Lowest"),
        Column("highest", "Highest"),
        Column("decides", "Decides", numeric=False),
    )
    rows = tuple(
        (
            word(axis),
            word(info.measure),
            word(info.title),
            word(info.better),
            *(Cell(axes.value(info, end), end) for end in info.bounds),
            word("yes" if info.primary else "no"),
        )
        for axis, info in (results.axes.items() if results.models else ())
    )
    caption = "The verdict rests on the axes that decide, and on all of them together."
    return Table("axes", "What was measured", caption, columns, rows)


def models(results: Results) -> Table:
    """Every model on every axis, with its gain over the baseline of its stage.

    The form of Table 1 of Aakanksha et al. (2024), with values and intervals beside it. Gains are
    signed so that + is better on every axis.
    """
    columns = [Column("model", "Model", numeric=False)]
    for axis, info in results.axes.items():
        columns.append(Column(axis, axes.heading(results, axis), with_ci=True))
        if info.relative:
            columns.append(Column(f"{axis}_relative_change", "against base", with_ci=True))
        if info.primary:
            columns.append(Column(f"{axis}_gain", f"gain over baseline{axes.points(info)}"))
    columns += [
        Column("stage", "Stage", numeric=False),
        Column("kind", "Kind, shares of data", numeric=False),
    ]
    names = all_models(results)
    rows = tuple(_model_row(results, name) for name in names)
    caption = (
        "Against base: change relative to the base model's value. Gain over baseline: how much "
        "better (+) or worse (−) than the baseline of the same stage, without a test; the tests "
        "are in the table of comparisons. Where changes are told against base, it is the "
        "difference of these. Beneath each value is its 95 % interval."
    )
    kinds = tuple(results.models[name].kind for name in names)
    table = Table("models", "Every model on every axis", caption, tuple(columns), rows, kinds)
    return without_empty_columns(table)


def _model_row(results: Results, name: str) -> tuple[Cell, ...]:
    model = results.models[name]
    baseline = results.baselines.get(model.stage or "")
    cells = [word(name, emphasis=name in results.baselines.values())]
    for axis, info in results.axes.items():
        own = model.axes.get(axis)
        cells.append(axes.value_cell(info, own.value, own.ci) if own else ABSENT)
        change = own.change_from_base if own else None
        if info.relative:
            told = (change.relative, change.relative_ci) if change else (None, None)
            cells.append(axes.relative_cell(*told))
        if info.primary:
            other = results.models.get(baseline) if baseline and baseline != name else None
            cells.append(axes.difference_cell(info, _gain(results, axis, model, other)))
    return *cells, word(stage_name(model.stage)) if model.stage else ABSENT, word(_kind(model))


def _gain(results: Results, axis: str, model: ModelResult, other: ModelResult | None) -> float | None:
    """Return how much better a model is than another, relative to the base where that is told."""
    info = results.axes[axis]
    if other is None or axis not in model.axes or axis not in other.axes:
        return None
    own, theirs = model.axes[axis], other.axes[axis]
    if not info.relative:
        return info.sign * (own.value - theirs.value)
    changes = [each.change_from_base and each.change_from_base.relative for each in (own, theirs)]
    if changes[0] is None or changes[1] is None:
        return None
    return info.sign * (changes[0] - changes[1])


def _kind(model: ModelResult) -> str:
    shares = [f"{share(value)} {source}" for source, value in (model.shares or {}).items() if value]
    return ", ".join([KIND_NAMES[model.kind], *shares])


def contrasts(results: Results, conclusion: Conclusion) -> Table:
    """The paired comparisons that decide: each merge against the baseline of its stage."""
    columns = [Column("model", "Model", numeric=False), Column("baseline", "Against", numeric=False)]
    for axis, info in results.deciding.items():
        title = f"{axes.heading(results, axis)}{axes.points(info)}"
        columns += [
            Column(f"{axis}_difference", title, with_ci=True),
            Column(f"{axis}_p_adjusted", "p (Holm)"),
        ]
    columns.append(Column("decision", "Decision", numeric=False))
    compared = [each for stage in conclusion.stages for each in stage.comparisons]
    rows = []
    for each in compared:
        found = contrasts_of(results, each)
        cells = [word(each.a), word(each.b)]
        for axis, info in results.deciding.items():
            contrast = found.get(axis)
            cells += (
                [
                    axes.difference_cell(info, contrast.difference, contrast.ci),
                    _p(contrast.p_adjusted),
                ]
                if contrast
                else [ABSENT, ABSENT]
            )
        rows.append(
            (*cells, word(DECISIONS[each.decision], emphasis=each.decision == "beats"))
        )
    against = dict.fromkeys(describe(results, each.b) for each in compared)
    directions = "; ".join(
        f"{axes.phrase(results, axis)}: {axes.better(info)}"
        for axis, info in results.deciding.items()
    )
    caption = (
        f"Differences are the model minus the baseline ({', '.join(against)}) on the same prompts, "
        f"with 95 % intervals. {directions[:1].upper()}{directions[1:]}. p is adjusted by Holm's "
        "method over all primary comparisons."
    )
    marks = tuple(each.decision for each in compared)
    title = "Each merge against the baseline"
    return Table("contrasts", title, caption, tuple(columns), tuple(rows), marks)


def _p(value: float) -> Cell:
    return Cell("< 0.001" if value < 0.001 else f"{value:.3f}", value)
