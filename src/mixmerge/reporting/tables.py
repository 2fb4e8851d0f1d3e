"""The tables of a report, one function each; `all_tables` is what gets written."""

from mixmerge.records.results import AxisScore, Comparison, Results
from mixmerge.records.verdict import Axis
from mixmerge.reporting import axes
from mixmerge.reporting.cells import (
    ABSENT,
    Cell,
    Spec,
    Table,
    estimates,
    numbers,
    tabulate,
    word,
    words,
)
from mixmerge.reporting.costs import kind_table, model_table
from mixmerge.reporting.formats import share
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.judges import judge_tables
from mixmerge.reporting.languages import language_tables
from mixmerge.reporting.models import KIND_NAMES, all_models, describe, share_words, stage_name
from mixmerge.reporting.robustness import fronts, otherwise
from mixmerge.reporting.verdict import Conclusion

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
    }
    return {name: [table for table in found if table.rows] for name, found in sections.items()}


def models(results: Results) -> Table:
    """Every model on every axis, with its gain over the baseline of its stage.

    The form of Table 1 of Aakanksha et al. (2024), with values and intervals beside it. Gains are
    signed so that + is better on every axis.
    """
    baselines = results.baselines.values()
    columns: list[Spec[str]] = [
        words("model", "Model", lambda name: word(name, emphasis=name in baselines))
    ]
    for axis in results.axes:
        columns += _axis_columns(results, axis)
    columns += [
        words("stage", "Stage", lambda n: stage_name(results.models[n].stage) or ABSENT),
        words("kind", "Kind, data", lambda name: _kind(results, name)),
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
    names = all_models(results)
    kinds = (results.models[name].kind for name in names)
    return tabulate("models", "Every model on every axis", caption, names, columns, kinds)


def _axis_columns(results: Results, axis: Axis) -> list[Spec[str]]:
    info = results.axes[axis]

    def value(name: str) -> Cell:
        own = results.models[name].axes.get(axis)
        return axes.value_cell(info, own.value, own.ci) if own else ABSENT

    def against_base(name: str) -> Cell:
        own = results.models[name].axes.get(axis)
        change = own.change_from_base if own else None
        return axes.relative_cell(change.relative, change.relative_ci) if change else ABSENT

    def gain(name: str) -> Cell:
        baseline = results.baselines.get(results.models[name].stage or "")
        pair = [results.models[n].axes.get(axis) for n in (name, baseline) if n in results.models]
        if name == baseline or len(pair) < 2 or pair[0] is None or pair[1] is None:
            return ABSENT
        own, other = (_told(each, relative=info.relative) for each in (pair[0], pair[1]))
        gained = None if own is None or other is None else info.sign * (own - other)
        return axes.difference_cell(info, gained)

    columns = [estimates(axis, axes.heading(results, axis), value)]
    if info.relative:
        columns.append(estimates(f"{axis}_relative_change", "against base", against_base))
    if info.primary:
        columns.append(numbers(f"{axis}_gain", f"gain over baseline{axes.points(info)}", gain))
    return columns


def _told(score: AxisScore, *, relative: bool) -> float | None:
    if not relative:
        return score.value
    return score.change_from_base.relative if score.change_from_base else None


def _kind(results: Results, name: str) -> str:
    model = results.models[name]
    known = {source: part for source, part in (model.shares or {}).items() if part}
    told = [f"{share(part)} {source}" for source, part in known.items()]
    if len(known) == 1:
        told = list(known)
    elif brief := share_words(results, name):
        told = [brief]
    return ", ".join([KIND_NAMES[model.kind], *told])


def contrasts(results: Results, conclusion: Conclusion) -> Table:
    """The paired comparisons that decide: each merge against the baseline of its stage."""
    columns: list[Spec[Comparison]] = [
        words("model", "Model", lambda each: each.a),
        words("baseline", "Against", lambda each: each.b),
    ]
    for axis in results.deciding:
        columns += _contrast_columns(results, axis)
    columns.append(words("decision", "Decision", _decision))
    compared = [each for stage in conclusion.stages for each in stage.comparisons]
    against = ", ".join(dict.fromkeys(describe(results, each.b) for each in compared))
    directions = "; ".join(
        f"{axes.phrase(results, axis)}: {axes.better(info)}"
        for axis, info in results.deciding.items()
    )
    caption = (
        f"Differences are the model minus the baseline ({against}) on the same prompts, with 95 % "
        f"intervals. {directions[:1].upper()}{directions[1:]}. p is adjusted by Holm's method over "
        "all primary comparisons."
    )
    title, marks = "Each merge against the baseline", (each.decision for each in compared)
    return tabulate("contrasts", title, caption, compared, columns, marks)


def _contrast_columns(results: Results, axis: Axis) -> list[Spec[Comparison]]:
    info = results.axes[axis]

    def difference(each: Comparison) -> Cell:
        found = results.contrast(each.a, each.b, axis)
        return axes.difference_cell(info, found.difference, found.ci) if found else ABSENT

    def adjusted(each: Comparison) -> Cell:
        found = results.contrast(each.a, each.b, axis)
        if found is None:
            return ABSENT
        p = found.p_adjusted
        return Cell("< 0.001" if p < 0.001 else f"{p:.3f}", p)

    title = f"{axes.heading(results, axis)}{axes.points(info)}"
    return [
        estimates(f"{axis}_difference", title, difference),
        numbers(f"{axis}_p_adjusted", "p (Holm)", adjusted),
    ]


def _decision(each: Comparison) -> Cell:
    return word(DECISIONS[each.decision], emphasis=each.decision == "beats")
