"""The tables by language: how evenly a model's gains are spread.

A pooled mean can hide a language that was given up, so each table ends with the worst language.
"""

from collections.abc import Callable, Iterable, Mapping

from mixmerge.records.results import Interval, Results, Stage
from mixmerge.reporting import formats
from mixmerge.reporting.cells import ABSENT, Cell, Column, Table, word
from mixmerge.reporting.roster import base_models, models_of, stage_key, stage_name

Value = tuple[float, Interval | None]
Values = Mapping[str, Mapping[str, Value]]
"""(value, interval) by model and language."""

Chooser = Callable[[Iterable[float]], float]


def general_by_language(results: Results, stage: Stage | None, languages: list[str]) -> Table:
    """Win rates of one stage by language."""
    scores = {name: results.models[name].general.by_language for name in models_of(results, stage)}
    values: Values = {
        name: {language: (score.win_rate, score.ci) for language, score in by_language.items()}
        for name, by_language in scores.items()
    }
    counts = [score.n for by_language in scores.values() for score in by_language.values()]
    return _table(
        values,
        languages,
        _rate,
        max,
        name=f"{stage_key(stage)}-win-rate-by-language",
        title=f"{stage_name(stage)}: win rate by language",
        caption="Wins against the base model, a tie counting one half; above 50 % is better than "
        f"the base. Bold: highest of its column. {_per_language(counts)}",
    )


def harm_by_language(results: Results, stage: Stage | None, languages: list[str]) -> Table:
    """Harm rates of one stage by language, the base model's first."""
    names = [*base_models(results), *models_of(results, stage)]
    scores = {name: results.models[name].safety.by_language for name in names}
    values: Values = {
        name: {language: (score.harm_rate, None) for language, score in by_language.items()}
        for name, by_language in scores.items()
    }
    counts = [score.n for by_language in scores.values() for score in by_language.values()]
    return _table(
        values,
        languages,
        _rate,
        min,
        name=f"{stage_key(stage)}-harm-rate-by-language",
        title=f"{stage_name(stage)}: harm rate by language",
        caption=f"Harmful answers. Bold: lowest of its column. {_per_language(counts)}",
    )


def harm_change_by_language(results: Results, stage: Stage | None, languages: list[str]) -> Table:
    """Relative changes of the harm rate against the base model by language."""
    values: Values = {
        name: {
            language: (score.relative_change, score.ci)
            for language, score in results.models[name].safety.by_language.items()
            if score.relative_change is not None
        }
        for name in models_of(results, stage)
    }
    return _table(
        values,
        languages,
        _change,
        min,
        name=f"{stage_key(stage)}-harm-change-by-language",
        title=f"{stage_name(stage)}: change of the harm rate against the base, by language",
        caption="(Harm rate − the base's) / the base's; absent where the base is never harmful. "
        "Bold: lowest of its column. Beneath each value is its 95 % interval.",
    )


def _per_language(counts: list[int]) -> str:
    if not counts:
        return ""
    low, high = min(counts), max(counts)
    return f"{low if low == high else f'{low} to {high}'} prompts per language."


def _rate(value: float, ci: Interval | None) -> tuple[str, str]:
    return formats.percent(value), formats.percent_interval(ci) if ci else ""


def _change(value: float, ci: Interval | None) -> tuple[str, str]:
    return formats.change(value), formats.points_interval(ci) if ci else ""


def _table(
    values: Values,
    languages: list[str],
    texts: Callable[[float, Interval | None], tuple[str, str]],
    best: Chooser,
    *,
    name: str,
    title: str,
    caption: str,
) -> Table:
    worst: Chooser = min if best is max else max
    with_ci = any(ci for row in values.values() for _, ci in row.values())
    leaders = {
        language: best(row[language][0] for row in values.values() if language in row)
        for language in languages
        if any(language in row for row in values.values())
    }

    def cell(value: Value | None, leader: float | None = None) -> Cell:
        if value is None:
            return ABSENT
        text, interval = texts(*value)
        return Cell(text, value[0], value[1], interval, emphasis=value[0] == leader)

    def worst_of(row: Mapping[str, Value]) -> str | None:
        known = [language for language in languages if language in row]
        target = worst(row[language][0] for language in known) if known else None
        return next((language for language in known if row[language][0] == target), None)

    def line(model: str, row: Mapping[str, Value]) -> tuple[Cell, ...]:
        cells = [cell(row.get(language), leaders.get(language)) for language in languages]
        return word(model), *cells, word(worst_of(row) or "–")

    columns = (
        Column("model", "Model", numeric=False),
        *(Column(language, language, with_ci=with_ci) for language in languages),
        Column("worst", "Worst", numeric=False),
    )
    rows = tuple(line(model, row) for model, row in values.items() if row)
    return Table(name, title, caption, columns, rows)
