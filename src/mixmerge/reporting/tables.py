"""The tables of a report, one function each; `all_tables` returns those to write."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from mixmerge.records import Axis
from mixmerge.records.results import (
    Average,
    AxisScore,
    Comparison,
    Front,
    Interval,
    LengthControlled,
    Results,
    Stage,
    Value,
)
from mixmerge.records.sweeps import Matched
from mixmerge.reporting import cells, formats, models
from mixmerge.reporting.arms import arm_table
from mixmerge.reporting.cells import ABSENT, Cell, Column, Spec, Table
from mixmerge.reporting.costs import kind_table, model_table
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.judges import judge_tables
from mixmerge.reporting.lengths import length_tables

_GROUPS = {"all": "all models", "trained": "mixtures and experts", "merges": "merges"}
_WITH_STUDENTS = _GROUPS | {"trained": "trained models"}


def all_tables(data: ReportInput) -> dict[str, list[Table]]:
    """Return every table that has a row, by section of the page, in page order."""
    results = data.results
    sections = {
        "verdict": [arm_table(results), *matched(results), contrasts(results)],
        "lengths": length_tables(results),
        "fronts": [fronts(results)],
        "models": [every_model(results)],
        "otherwise": [otherwise(results, axis) for axis in results.axes],
        "languages": language_tables(results, data.languages),
        "judges": judge_tables(data.judge_card),
        "costs": [model_table(data), kind_table(data.steps)],
    }
    return {name: [table for table in found if table.rows] for name, found in sections.items()}


def every_model(results: Results) -> Table:
    """Every model on every axis, with its gain over the baseline of its stage.

    The form of Table 1 of Aakanksha et al. (2024), with values and intervals beside it. Gains are
    signed so that + is better on every axis.
    """
    baselines = results.baselines.values()
    columns: list[Spec[str]] = [
        cells.words("model", "Model", lambda name: cells.word(name, emphasis=name in baselines))
    ]
    for axis in results.axes:
        columns += _axis_columns(results, axis)
    columns += [
        cells.words(
            "stage", "Stage", lambda n: models.stage_name(results.models[n].stage) or ABSENT
        ),
        cells.words("kind", "Kind, data", lambda name: made_of(results, name)),
    ]
    caption = (
        "Gain over baseline: how much better (+) or worse (−) than the baseline of the same stage, "
        "without a test; the tests are in the table of comparisons. Beneath each value is its 95 % "
        "interval."
    )
    if any(info.relative for info in results.axes.values()):
        caption += (
            " Against base: change relative to the base model's value; the gain beside it is the "
            "difference of two of these."
        )
    names = models.all_models(results)
    kinds = (models.mark(results, name) for name in names)
    return cells.tabulate("models", "Every model on every axis", caption, names, columns, kinds)


def _axis_columns(results: Results, axis: Axis) -> list[Spec[str]]:
    info = results.axes[axis]

    def value(name: str) -> Cell:
        own = results.models[name].axes.get(axis)
        return cells.of_axis(info, own.value, own.ci) if own else ABSENT

    def against_base(name: str) -> Cell:
        own = results.models[name].axes.get(axis)
        change = own.change_from_base if own else None
        return cells.relative(change.relative, change.relative_ci) if change else ABSENT

    def gain(name: str) -> Cell:
        baseline = results.baselines.get(results.models[name].stage or "")
        pair = [results.models[n].axes.get(axis) for n in (name, baseline) if n in results.models]
        if name == baseline or len(pair) < 2 or pair[0] is None or pair[1] is None:
            return ABSENT
        own, other = (_told(each, relative=info.relative) for each in (pair[0], pair[1]))
        gained = None if own is None or other is None else info.sign * (own - other)
        return cells.difference(info, gained)

    columns = [cells.estimates(axis, formats.heading(results, axis), value)]
    if info.relative:
        columns.append(cells.estimates(f"{axis}_relative_change", "against base", against_base))
    if info.primary:
        columns.append(
            cells.numbers(
                f"{axis}_gain", f"gain over baseline{formats.unit_of_differences(info)}", gain
            )
        )
    return columns


def _told(score: AxisScore, *, relative: bool) -> float | None:
    if not relative:
        return score.value
    return score.change_from_base.relative if score.change_from_base else None


def made_of(results: Results, name: str) -> str:
    """Return a model's kind, with the shares of its training data if they are known."""
    model = results.models[name]
    known = {source: part for source, part in (model.shares or {}).items() if part}
    told = [f"{formats.share(part)} {source}" for source, part in known.items()]
    if len(known) == 1:
        told = list(known)
    return ", ".join([models.arm_name(results, name), *told])


def contrasts(results: Results) -> Table:
    """The paired comparisons that decide: each merge or student against its stage's baseline."""
    columns: list[Spec[Comparison]] = [
        cells.words("model", "Model", lambda each: each.a),
        cells.words("baseline", "Against", lambda each: each.b),
    ]
    for axis in results.deciding:
        columns += _contrast_columns(results, axis)
    columns.append(cells.words("decision", "Decision", _decision))
    compared = [
        c for stage in models.stages(results) for c in results.decisions if c.stage == stage
    ]
    against = ", ".join(dict.fromkeys(each.b for each in compared))
    directions = "; ".join(
        f"{formats.phrase(results, axis)}: {formats.better(info)}, margin {formats.margin(info)}"
        for axis, info in results.deciding.items()
    )
    caption = (
        f"Differences are the model minus the baseline ({against}) on the same prompts, with 95 % "
        f"intervals. {directions[:1].upper()}{directions[1:]}. p is adjusted by Holm's method over "
        "all primary comparisons."
    )
    title = f"Each {models.nouns(results)[0]} against the baseline"
    marks = (each.decision for each in compared)
    return cells.tabulate("contrasts", title, caption, compared, columns, marks)


def matched(results: Results) -> list[Table]:
    """Sweeps against the baseline at the baseline's value of one axis; empty without sweeps."""
    if not results.matched:
        return []
    on = results.matched[0].axis
    columns: list[Spec[Matched]] = [
        cells.words("model", "Sweep", lambda each: each.model),
        cells.words("baseline", "Against", lambda each: each.baseline),
        cells.numbers(
            "level",
            formats.heading(results, on),
            lambda each: cells.of_axis(results.axes[on], each.level),
        ),
    ]
    columns += [_matched_column(results, axis) for axis in results.matched[0].differences]
    caption = (
        f"Each sweep of merges at the point where {formats.phrase(results, on)} is the baseline's, "
        "between two neighbouring weights: differences from the baseline with 95 % intervals, "
        "interpolation included. Neither the choice of a weight nor the ratio of the mix decides."
    )
    title = "At the same price"
    return [cells.tabulate("matched", title, caption, results.matched, columns)]


def _matched_column(results: Results, axis: Axis) -> Spec[Matched]:
    info = results.axes[axis]

    def difference(each: Matched) -> Cell:
        found = each.differences[axis]
        return cells.difference(info, found.difference, found.ci)

    title = f"{formats.heading(results, axis)}{formats.unit_of_differences(info)}"
    return cells.estimates(f"{axis}_difference", title, difference)


def _contrast_columns(results: Results, axis: Axis) -> list[Spec[Comparison]]:
    info = results.axes[axis]

    def difference(each: Comparison) -> Cell:
        found = results.contrast(each.a, each.b, axis)
        return cells.difference(info, found.difference, found.ci) if found else ABSENT

    def adjusted(each: Comparison) -> Cell:
        found = results.contrast(each.a, each.b, axis)
        if found is None:
            return ABSENT
        return cells.adjusted_p(found.p_adjusted)

    title = f"{formats.heading(results, axis)}{formats.unit_of_differences(info)}"
    return [
        cells.estimates(f"{axis}_difference", title, difference),
        cells.numbers(f"{axis}_p_adjusted", "p (Holm)", adjusted),
    ]


def _decision(each: Comparison) -> Cell:
    if each.decision == "beats":
        return cells.word("beats it", emphasis=True)
    return cells.word("not compared yet" if each.decision == "incomplete" else each.decision)


Found = Mapping[str, tuple[float, Interval | None]]
"""(value, interval) by language."""


def language_tables(results: Results, languages: Sequence[str]) -> list[Table]:
    """Return the tables of each stage and axis by language; none for a single language.

    A pooled mean can hide a language that got much worse, so each table ends with the worst
    language. Axes with relative changes have a second table of them.
    """
    if len(languages) < 2:
        return []
    return [
        by_language(results, stage, axis, languages, relative=relative)
        for stage in models.stages(results)
        for axis, info in results.axes.items()
        for relative in ((False, True) if info.relative else (False,))
    ]


def by_language(
    results: Results, stage: Stage, axis: Axis, languages: Sequence[str], *, relative: bool = False
) -> Table:
    """Values of one stage on one axis, or their changes relative to the base model's.

    The base model's values come first, unless they are fixed by definition.
    """
    info = results.axes[axis]
    own_base = [] if relative or info.of_base is not None else models.base_models(results)
    found = {
        name: _relative(results, name, axis) if relative else _values(results, name, axis)
        for name in (*own_base, *models.models_of(results, stage))
    }
    rows = {name: own for name, own in found.items() if own}
    title = f"{models.of_stage(results, stage)}{formats.heading(results, axis)}"
    caption = f"Bold: best of its column; {formats.better(info)}."
    if relative:
        title += ", change against the base"
        caption += " (Value − the base's) / the base's; absent where the base's is zero."
    else:
        counts = (results.models[name].axes[axis].by_language.values() for name in rows)
        caption += _per_language(score.n for scores in counts for score in scores)
        caption += f" The base model: {formats.value(info, info.of_base)}." if info.of_base else ""
    best, worst = (max, min) if info.better == "higher" else (min, max)

    def column(language: str) -> Callable[[str], Cell]:
        leader = best((own[language][0] for own in rows.values() if language in own), default=None)

        def cell(name: str) -> Cell:
            if language not in rows[name]:
                return ABSENT
            value, ci = rows[name][language]
            if relative:
                return cells.relative(value, ci, emphasis=value == leader)
            return cells.of_axis(info, value, ci, emphasis=value == leader)

        return cell

    def worst_of(name: str) -> str:
        known = [language for language in languages if language in rows[name]]
        return worst(known, key=lambda language: rows[name][language][0], default="–")

    with_ci = any(ci for own in rows.values() for _, ci in own.values())
    columns: list[Spec[str]] = [
        cells.words("model", "Model", str),
        *((Column(code, code, with_ci=with_ci), column(code)) for code in languages),
        cells.words("worst", "Worst", worst_of),
    ]
    name = models.file_name(stage, axis, "change-by-language" if relative else "by-language")
    return cells.tabulate(name, f"{title}, by language", caption, rows, columns)


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


def otherwise(results: Results, axis: Axis) -> Table:
    """Robustness of one axis: equal weights of languages, controlled length, missing verdicts.

    It has no rows if none of these applies.
    """
    info = results.axes[axis]
    found = {name: results.models[name].axes.get(axis) for name in models.all_models(results)}
    scores = {name: own for name, own in found.items() if own}
    if not any(own.length_controlled or own.average or own.missing for own in scores.values()):
        scores = {}

    def bounds(name: str) -> Cell:
        ends = scores[name].bounds
        return Cell(formats.interval(info, ends), None, ends) if scores[name].missing else ABSENT

    def cell(found: Value | LengthControlled | Average | None) -> Cell:
        return cells.of_axis(info, found.value, found.ci) if found else ABSENT

    caption = (
        "At equal length: the value if all answers were as long as the base model’s (a fit, not a "
        "count). Mean of languages: every language counts the same, not every prompt. Missing "
        "verdicts: between which values it lies, had all been the worst or the best for the model."
    )
    reasons = {reason for own in scores.values() for reason in own.absent.values()}
    caption += "".join(f" No interval: {reason.rstrip('.')}." for reason in sorted(reasons))
    return cells.tabulate(
        models.file_name(axis, "otherwise"),
        f"{formats.heading(results, axis)}, counted otherwise",
        caption,
        scores,
        (
            cells.words("model", "Model", str),
            cells.estimates("value", "As above", lambda n: cell(scores[n])),
            cells.estimates(
                "length_controlled", "At equal length", lambda n: cell(scores[n].length_controlled)
            ),
            cells.estimates("average", "Mean of languages", lambda n: cell(scores[n].average)),
            cells.estimates("bounds", "Missing verdicts", bounds),
            cells.counts("missing", "Missing", lambda name: scores[name].missing),
        ),
    )


def fronts(results: Results) -> Table:
    """How often each model is on the front when the questions are resampled."""
    items = [
        (name, stage, front.p_non_dominated[name])
        for stage, front in results.fronts.items()
        for name in models.models_of(results, stage)
        if name in front.p_non_dominated
    ]
    on_one = " on one" * (len(results.deciding) > 1)
    caption = (
        "Share of bootstrap draws of the questions in which no other model of the stage is at "
        f"least as good{formats.on_all(results)} and better{on_one}.{_volumes(results)}"
    )
    return cells.tabulate(
        "fronts",
        "Who is on the front?",
        caption,
        items,
        (
            cells.words("model", "Model", lambda item: item[0]),
            cells.words("stage", "Stage", lambda item: models.stage_name(item[1])),
            cells.numbers("p_non_dominated", "On the front", lambda item: cells.rate(item[2])),
        ),
        (models.mark(results, name) for name, _, _ in items),
    )


def _volumes(results: Results) -> str:
    groups = _WITH_STUDENTS if models.names_arms(results) else _GROUPS
    told = [
        f" {models.stage_name(stage)}: {_volume_words(front, groups)}."
        for stage, front in results.fronts.items()
        if front.volumes
    ]
    space = {1: "range", 2: "area"}.get(len(results.deciding), "space")
    said = f" Share of the {space} of all values that is worse than some model:"
    return said + "".join(told) if told else ""


def _volume_words(front: Front, groups: Mapping[str, str]) -> str:
    parts = []
    for group, volume in front.volumes.items():
        ends = formats.ends(volume.ci, formats.bare_percent)
        value = formats.percent(volume.hypervolume)
        parts.append(f"{groups[group]} {value}{ends and f' ({ends})'}")
    return ", ".join(parts)
