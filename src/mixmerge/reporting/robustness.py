"""How much the values and the front depend on choices that could have been made otherwise."""

from mixmerge.records.results import AxisInfo, AxisScore, Front, Results
from mixmerge.records.verdict import Axis
from mixmerge.reporting import axes, formats
from mixmerge.reporting.cells import (
    ABSENT,
    Cell,
    Column,
    Table,
    number,
    rate,
    without_empty_columns,
    word,
)
from mixmerge.reporting.models import all_models, file_name, models_of, stage_name

_GROUPS = {
    "all": "all models",
    "trained": "mixtures and experts",
    "merges": "merges",
}


def otherwise(results: Results, axis: Axis) -> Table:
    """The values of one axis with other weights for languages, other lengths, missing verdicts."""
    info = results.axes[axis]
    columns = (
        Column("model", "Model", numeric=False),
        Column("value", "As above", with_ci=True),
        Column("length_controlled", "At equal length", with_ci=True),
        Column("average", "Mean of languages", with_ci=True),
        Column("bounds", "Missing verdicts", with_ci=True),
        Column("missing", "Missing"),
    )
    scores = {name: results.models[name].axes.get(axis) for name in all_models(results)}
    rows = tuple((word(name), *_cells(info, own)) for name, own in scores.items() if own)
    if all(cell == ABSENT for row in rows for cell in row[2:5]):
        rows = ()
    caption = (
        "At equal length: the value if all answers were as long as the base model’s (a fit, not a "
        "count). Mean of languages: every language counts the same, not every prompt. Missing "
        "verdicts: the value if all were the worst, to the value if all were the best for the "
        "model."
    )
    reasons = {reason for own in scores.values() if own for reason in own.absent.values()}
    caption += "".join(f" No interval: {reason.rstrip('.')}." for reason in sorted(reasons))
    title = f"{axes.heading(results, axis)}, counted otherwise"
    return without_empty_columns(
        Table(file_name(axis, "otherwise"), title, caption, columns, rows)
    )


def _cells(info: AxisInfo, score: AxisScore) -> tuple[Cell, ...]:
    bounds = axes.value_cell(info, score.bounds[0], score.bounds).interval
    return (
        axes.value_cell(info, score.value, score.ci),
        *(
            axes.value_cell(info, other.value, other.ci) if other else ABSENT
            for other in (score.length_controlled, score.average)
        ),
        Cell(bounds, None, score.bounds) if score.missing else ABSENT,
        number(score.missing),
    )


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
        f"least as good{axes.on_all(results)} and better{' on one' * (len(results.deciding) > 1)}."
        + _volumes(results)
    )
    kinds = tuple(results.models[row[0].text].kind for row in rows)
    return Table("fronts", "Who is on the front?", caption, columns, rows, kinds)


def _volumes(results: Results) -> str:
    told = [
        f" {stage_name(stage)}: {_volume_words(results, front)}."
        for stage, front in results.fronts.items()
        if front.volumes
    ]
    if not told:
        return ""
    deciding = list(results.deciding.values())
    noun = {1: "Gain", 2: "Area"}.get(len(deciding), "Volume")
    gains = " times ".join(
        f"the gain in {axes.phrase(results, axis)}{' relative to its value' * info.relative}"
        for axis, info in results.deciding.items()
    )
    return f" {noun} beyond the base model that is reached ({gains}):" + "".join(told)


def _volume_words(results: Results, front: Front) -> str:
    percent = all(info.unit == "percent" for info in results.deciding.values())
    write = formats.percent if percent else formats.significant
    parts = []
    for group, volume in front.volumes.items():
        ends = " to ".join(write(end).rstrip(f"{formats.NARROW_SPACE}%") for end in volume.ci or ())
        parts.append(f"{_GROUPS[group]} {write(volume.hypervolume)}{f' ({ends})' if ends else ''}")
    return ", ".join(parts)
