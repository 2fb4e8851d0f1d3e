"""The tables by language: how evenly a model's gains are spread.

A pooled mean can hide a language that was given up, so each table ends with the worst language.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from mixmerge.records.results import Interval, Results, Stage
from mixmerge.records.verdict import Axis
from mixmerge.reporting import axes
from mixmerge.reporting.cells import ABSENT, Cell, Column, Spec, Table, tabulate, words
from mixmerge.reporting.models import base_models, file_name, models_of, of_stage, stages

Found = Mapping[str, tuple[float, Interval | None]]
"""(value, interval) by language."""


def language_tables(results: Results, languages: Sequence[str]) -> list[Table]:
    """Return the tables of each stage and axis; none for one language, which has nothing to spread.

    Axes whose changes are told relative to the base model have a second table, of these.
    """
    if len(languages) < 2:
        return []
    return [
        by_language(results, stage, axis, languages, relative=relative)
        for stage in stages(results)
        for axis, info in results.axes.items()
        for relative in ((False, True) if info.relative else (False,))
    ]


def by_language(
    results: Results, stage: Stage, axis: Axis, languages: Sequence[str], *, relative: bool = False
) -> Table:
    """Values of one stage on one axis, or their changes relative to the base model's.

    The base model's values come first where they are not fixed.
    """
    info = results.axes[axis]
    own_base = [] if relative or info.of_base is not None else base_models(results)
    found = {
        name: _relative(results, name, axis) if relative else _values(results, name, axis)
        for name in (*own_base, *models_of(results, stage))
    }
    rows = {name: own for name, own in found.items() if own}
    title = f"{of_stage(results, stage)}{axes.heading(results, axis)}"
    caption = f"Bold: best of its column; {axes.better(info)}."
    if relative:
        title += ", change against the base"
        caption += " (Value − the base's) / the base's; absent where the base's is zero."
    else:
        counts = (results.models[name].axes[axis].by_language.values() for name in rows)
        caption += _per_language(score.n for scores in counts for score in scores)
        caption += f" The base model: {axes.value(info, info.of_base)}." if info.of_base else ""
    best, worst = (max, min) if info.better == "higher" else (min, max)

    def cells(language: str) -> Callable[[str], Cell]:
        leader = best((own[language][0] for own in rows.values() if language in own), default=None)

        def cell(name: str) -> Cell:
            if language not in rows[name]:
                return ABSENT
            value, ci = rows[name][language]
            if relative:
                return axes.relative_cell(value, ci, emphasis=value == leader)
            return axes.value_cell(info, value, ci, emphasis=value == leader)

        return cell

    def worst_of(name: str) -> str:
        known = [language for language in languages if language in rows[name]]
        return worst(known, key=lambda language: rows[name][language][0], default="–")

    with_ci = any(ci for own in rows.values() for _, ci in own.values())
    columns: list[Spec[str]] = [
        words("model", "Model", str),
        *((Column(code, code, with_ci=with_ci), cells(code)) for code in languages),
        words("worst", "Worst", worst_of),
    ]
    name = file_name(stage, axis, "change-by-language" if relative else "by-language")
    return tabulate(name, f"{title}, by language", caption, rows, columns)


def _values(results: Results, name: str, axis: Axis) -> Found:
    own = results.models[name].axes.get(axis)
    return {code: (score.value, score.ci) for code, score in own.by_language.items()} if own else {}


def _relative(results: Results, name: str, axis: Axis) -> Found:
    own = results.models[name].axes.get(axis)
    return {
        code: (change.relative, change.relative_ci)
        for code, score in (own.by_language.items() if own else ())
        if (change := score.change_from_base) and change.relative is not None
    }


def _per_language(counts: Iterable[int]) -> str:
    known = sorted(set(counts))
    return (
        f" {' to '.join(map(str, dict.fromkeys((known[0], known[-1]))))} prompts per language."
        if known
        else ""
    )
