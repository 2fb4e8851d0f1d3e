"""The tables by language: how evenly a model's gains are spread.

A pooled mean can hide a language that was given up, so each table ends with the worst language.
"""

from collections.abc import Callable, Mapping, Sequence

from mixmerge.records.results import AxisInfo, Interval, Results, Stage
from mixmerge.records.verdict import Axis
from mixmerge.reporting import axes
from mixmerge.reporting.cells import ABSENT, Cell, Column, Table, word
from mixmerge.reporting.models import base_models, file_name, models_of, of_stage, stages

Value = tuple[float, Interval | None]
Values = Mapping[str, Mapping[str, Value]]
"""(value, interval) by model and language."""


def language_tables(results: Results, languages: Sequence[str]) -> list[Table]:
    """Return the tables of each stage and axis; none for one language, which has nothing to spread.

    Axes whose changes are told relative to the base model have a second table, of these.
    """
    if len(languages) < 2:
        return []
    return [
        make(results, stage, axis, languages)
        for stage in stages(results)
        for axis, info in results.axes.items()
        for make in ((by_language, change_by_language) if info.relative else (by_language,))
    ]


def by_language(results: Results, stage: Stage, axis: Axis, languages: Sequence[str]) -> Table:
    """Values of one stage on one axis, the base model's first where it is not fixed."""
    info = results.axes[axis]
    names = [*(base_models(results) if info.of_base is None else []), *models_of(results, stage)]
    scores = {n: results.models[n].axes[axis].by_language for n in names if _has(results, n, axis)}
    values: Values = {
        name: {language: (score.value, score.ci) for language, score in own.items()}
        for name, own in scores.items()
    }
    counts = [score.n for own in scores.values() for score in own.values()]
    fixed = "" if info.of_base is None else f" The base model has {axes.value(info, info.of_base)}."

    def cell(found: Value, emphasis: bool) -> Cell:
        return axes.value_cell(info, *found, emphasis=emphasis)

    return _table(
        values,
        languages,
        info,
        cell,
        name=file_name(stage, axis, "by-language"),
        title=f"{of_stage(results, stage)}{axes.heading(results, axis)}, by language",
        caption=f"Bold: best of its column; {axes.better(info)}.{fixed}{_per_language(counts)}",
    )


def change_by_language(
    results: Results, stage: Stage, axis: Axis, languages: Sequence[str]
) -> Table:
    """Changes relative to the base model of one stage on one axis."""
    values: Values = {
        name: {
            language: (change.relative, change.relative_ci)
            for language, score in results.models[name].axes[axis].by_language.items()
            if (change := score.change_from_base) and change.relative is not None
        }
        for name in models_of(results, stage)
        if _has(results, name, axis)
    }

    def cell(found: Value, emphasis: bool) -> Cell:
        return axes.relative_cell(*found, emphasis=emphasis)

    return _table(
        values,
        languages,
        results.axes[axis],
        cell,
        name=file_name(stage, axis, "change-by-language"),
        title=f"{of_stage(results, stage)}{axes.heading(results, axis)}, "
        "change against the base by language",
        caption="(Value − the base's) / the base's; absent where the base's is zero. "
        f"Bold: best of its column; {axes.better(results.axes[axis])}.",
    )


def _has(results: Results, name: str, axis: Axis) -> bool:
    return axis in results.models[name].axes


def _per_language(counts: Sequence[int]) -> str:
    if not counts:
        return ""
    low, high = min(counts), max(counts)
    return f" {low if low == high else f'{low} to {high}'} prompts per language."


def _table(
    values: Values,
    languages: Sequence[str],
    info: AxisInfo,
    cell: Callable[[Value, bool], Cell],
    *,
    name: str,
    title: str,
    caption: str,
) -> Table:
    best, worst = (max, min) if info.better == "higher" else (min, max)
    leaders = {
        language: best(row[language][0] for row in values.values() if language in row)
        for language in languages
        if any(language in row for row in values.values())
    }

    def line(model: str, row: Mapping[str, Value]) -> tuple[Cell, ...]:
        cells = [
            cell(row[code], row[code][0] == leaders[code]) if code in row else ABSENT
            for code in languages
        ]
        known = [code for code in languages if code in row]
        lowest = worst(known, key=lambda code: row[code][0]) if known else "–"
        return word(model), *cells, word(lowest)

    with_ci = any(ci for row in values.values() for _, ci in row.values())
    columns = (
        Column("model", "Model", numeric=False),
        *(Column(language, language, with_ci=with_ci) for language in languages),
        Column("worst", "Worst", numeric=False),
    )
    rows = tuple(line(model, row) for model, row in values.items() if row)
    return Table(name, title, caption, columns, rows)
