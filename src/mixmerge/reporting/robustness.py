"""How much the values and the front depend on choices that could have been made otherwise."""

from mixmerge.records import Axis
from mixmerge.records.results import Average, Front, LengthControlled, Results, Value
from mixmerge.reporting import axes, cells, formats
from mixmerge.reporting.cells import ABSENT, Cell, Table
from mixmerge.reporting.models import all_models, file_name, models_of, stage_name

_GROUPS = {"all": "all models", "trained": "mixtures and experts", "merges": "merges"}


def otherwise(results: Results, axis: Axis) -> Table:
    """The values of one axis with other weights for languages, other lengths, missing verdicts.

    It has no rows where nothing can be counted otherwise.
    """
    info = results.axes[axis]
    found = {name: results.models[name].axes.get(axis) for name in all_models(results)}
    scores = {name: own for name, own in found.items() if own}
    if not any(own.length_controlled or own.average or own.missing for own in scores.values()):
        scores = {}

    def bounds(name: str) -> Cell:
        ends = scores[name].bounds
        return Cell(axes.interval(info, ends), None, ends) if scores[name].missing else ABSENT

    def cell(found: Value | LengthControlled | Average | None) -> Cell:
        return axes.value_cell(info, found.value, found.ci) if found else ABSENT

    caption = (
        "At equal length: the value if all answers were as long as the base model’s (a fit, not a "
        "count). Mean of languages: every language counts the same, not every prompt. Missing "
        "verdicts: between which values it lies, had all been the worst or the best for the model."
    )
    reasons = {reason for own in scores.values() for reason in own.absent.values()}
    caption += "".join(f" No interval: {reason.rstrip('.')}." for reason in sorted(reasons))
    return cells.tabulate(
        file_name(axis, "otherwise"),
        f"{axes.heading(results, axis)}, counted otherwise",
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
    """How often each model is on the front when the questions are drawn again."""
    items = [
        (name, stage, front.p_non_dominated[name])
        for stage, front in results.fronts.items()
        for name in models_of(results, stage)
        if name in front.p_non_dominated
    ]
    on_one = " on one" * (len(results.deciding) > 1)
    caption = (
        "Share of bootstrap draws of the questions in which no other model of the stage is at "
        f"least as good{axes.on_all(results)} and better{on_one}.{_volumes(results)}"
    )
    return cells.tabulate(
        "fronts",
        "Who is on the front?",
        caption,
        items,
        (
            cells.words("model", "Model", lambda item: item[0]),
            cells.words("stage", "Stage", lambda item: stage_name(item[1])),
            cells.numbers("p_non_dominated", "On the front", lambda item: cells.rate(item[2])),
        ),
        (results.models[name].kind for name, _, _ in items),
    )


def _volumes(results: Results) -> str:
    told = [
        f" {stage_name(stage)}: {_volume_words(results, front)}."
        for stage, front in results.fronts.items()
        if front.volumes
    ]
    noun = {1: "Gain", 2: "Area"}.get(len(results.deciding), "Volume")
    gains = " times ".join(
        f"the gain in {axes.phrase(results, axis)}{' relative to the base' * info.relative}"
        for axis, info in results.deciding.items()
    )
    return (
        f" {noun} beyond the base model that is reached ({gains}):{''.join(told)}" if told else ""
    )


def _volume_words(results: Results, front: Front) -> str:
    percent = all(info.unit == "percent" for info in results.deciding.values())
    write = formats.percent if percent else formats.significant
    parts = []
    for group, volume in front.volumes.items():
        ends = " to ".join(write(e).rstrip(f"{formats.NARROW_SPACE}%") for e in volume.ci or ())
        parts.append(f"{_GROUPS[group]} {write(volume.hypervolume)}{ends and f' ({ends})'}")
    return ", ".join(parts)
