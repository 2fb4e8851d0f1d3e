"""What mixing and merging cost, in training tokens, seconds and GPU hours."""

from collections.abc import Callable, Sequence

from mixmerge.records.results import Costs, Results, Stage
from mixmerge.reporting import formats, models
from mixmerge.reporting.cells import ABSENT, Cell, Table, counts, numbers, tabulate, words
from mixmerge.reporting.input import ReportInput, StepCost
from mixmerge.reporting.models import models_of, of_stage, stages

_MAKING = frozenset({"mix", "answers", "train", "merge"})
"""Kinds of steps that make a model; the others evaluate it."""


def model_table(data: ReportInput) -> Table:
    """The cost of each model beyond the base, including its parents."""
    results, costs = data.results, data.results.costs
    names = [name for stage in stages(results) for name in models_of(results, stage)]
    names = names if costs or data.steps else []
    tokens = {name: cost.training_tokens for name, cost in costs.items()}
    rows = {name: cost.training_rows for name, cost in costs.items()}
    steps = {name: cost.optimizer_steps for name, cost in costs.items()}
    reference = {name: cost.reference_tokens for name, cost in costs.items()}
    written = {name: cost.generated_tokens for name, cost in costs.items()}
    taught = {name: cost.teacher_tokens for name, cost in costs.items()}
    caption = (
        "Tokens, rows, steps and operations include every model that this one was made from, each "
        "counted once. Operations (FLOPs) are 6 for each trained weight and token, and 2 for each "
        "weight and token of a pass without training, as through a reference or a teacher, or to "
        "write an answer; a merge takes next to none. Time is that of the steps that made the "
        "model, on the machine of this run; measuring it is in the next table."
    )
    if any(step.gpus for step in data.steps):
        caption += (
            " GPU hours are the time of these steps, parents included, times the devices that each "
            "was given, whether it kept them busy or not."
        )
    return tabulate(
        "costs",
        "Cost of each model",
        caption,
        names,
        (
            words("model", "Model", str),
            words("kind", "Kind", lambda name: models.arm_name(results, name)),
            counts("training_tokens", "Training tokens", tokens.get),
            counts("training_rows", "Training rows", rows.get),
            counts("optimizer_steps", "Optimizer steps", steps.get),
            counts(
                "reference_tokens", "Reference tokens", lambda name: reference.get(name) or None
            ),
            counts("generated_tokens", "Generated tokens", lambda name: written.get(name) or None),
            counts("teacher_tokens", "Teacher tokens", lambda name: taught.get(name) or None),
            numbers("flops", "FLOPs", lambda name: _flops(costs.get(name))),
            numbers("own_seconds", "Own time", lambda name: _seconds(own_seconds(data, name))),
            numbers("seconds", "Time with parents", lambda n: _seconds(total_seconds(data, n))),
            numbers("gpu_hours", "GPU hours", lambda name: _hours(gpu_hours(data, name))),
        ),
        (models.mark(results, name) for name in names),
    )


def kind_table(steps: Sequence[StepCost]) -> Table:
    """Seconds by kind of step."""
    by_kind: dict[str, list[StepCost]] = {}
    for step in steps:
        by_kind.setdefault(step.kind, []).append(step)

    def tokens(kind: str) -> int | None:
        known = [step.tokens for step in by_kind[kind] if step.tokens is not None]
        return sum(known) if known else None

    def seconds(kind: str) -> Cell:
        return _seconds(sum(step.seconds for step in by_kind[kind]))

    total = formats.duration(sum(step.seconds for step in steps))
    return tabulate(
        "time",
        "Where the time went",
        f"Finished steps only, {total} together; steps may have run side by side.",
        by_kind,
        (
            words("kind", "Kind of step", str),
            counts("steps", "Steps", lambda kind: len(by_kind[kind])),
            numbers("seconds", "Time", seconds),
            numbers(
                "gpu_hours",
                "GPU hours",
                lambda kind: _hours(sum(map(_step_gpu_hours, by_kind[kind]))),
            ),
            counts("tokens", "Tokens", tokens),
        ),
    )


def own_seconds(data: ReportInput, name: str) -> float | None:
    """Return the seconds of the steps that made a model; None if no step is recorded."""
    return _own(data, name, _step_seconds)


def total_seconds(data: ReportInput, name: str) -> float | None:
    """Return the seconds of a model and all its ancestors, each counted once.

    None where the parents are not known or an ancestor has no recorded step.
    """
    return _with_parents(data, name, _step_seconds)


def gpu_hours(data: ReportInput, name: str) -> float | None:
    """Return the GPU hours of a model and all its ancestors, each counted once.

    None where the parents are not known or an ancestor has no recorded step.
    """
    return _with_parents(data, name, _step_gpu_hours)


def _step_seconds(step: StepCost) -> float:
    return step.seconds


def _step_gpu_hours(step: StepCost) -> float:
    return step.gpus * step.seconds / 3600


def _own(data: ReportInput, name: str, cost: Callable[[StepCost], float]) -> float | None:
    own = [cost(step) for step in data.steps if step.model == name and step.kind in _MAKING]
    return sum(own) if own else None


def _with_parents(data: ReportInput, name: str, cost: Callable[[StepCost], float]) -> float | None:
    if name not in data.parents:
        return None
    family, todo = set[str](), [name]
    while todo:
        model = todo.pop()
        if model not in family:
            family.add(model)
            todo += data.parents.get(model, [])
    costs = [_own(data, model, cost) for model in sorted(family - {data.results.base})]
    known = [value for value in costs if value is not None]
    return sum(known) if len(known) == len(costs) else None


def _seconds(value: float | None) -> Cell:
    return ABSENT if value is None else Cell(formats.duration(value), value)


def _hours(value: float | None) -> Cell:
    """Show GPU hours; a study without GPUs has no column of them."""
    if not value:
        return ABSENT
    return Cell(f"{value:.3g}" if value < 1000 else formats.count(round(value)), value)


def _flops(cost: Costs | None) -> Cell:
    if cost is None or cost.flops is None:
        return ABSENT
    return Cell(formats.scientific(cost.flops), cost.flops)


def cost_sentences(data: ReportInput) -> list[str]:
    """Return each stage's token cost of a merge against the baseline, and the dollars spent.

    Between them stands what trainings left out.
    """
    sentences = [
        _stage_sentence(data.results, stage, baseline)
        for stage in stages(data.results)
        if (baseline := data.results.baselines.get(stage)) in data.results.costs
    ]
    said: dict[str, list[str]] = {}
    for step in data.steps:
        for note in step.notes:
            said.setdefault(note, []).append(step.name)
    sentences += [f"{', '.join(names)}: {note}" for note, names in said.items()]
    if data.dollars:
        sentences.append(
            f"Calls to endpoints with a price have cost {formats.dollars(data.dollars)}."
        )
    return [sentence for sentence in sentences if sentence]


def _stage_sentence(results: Results, stage: Stage, baseline: str) -> str:
    mix = results.costs[baseline].training_tokens
    merges = [
        name
        for name in models_of(results, stage)
        if results.models[name].kind == "merge" and name in results.costs
    ]
    if not merges or mix == 0:
        return ""
    dearest = max(merges, key=lambda name: results.costs[name].training_tokens)
    tokens = results.costs[dearest].training_tokens
    return (
        f"{of_stage(results, stage)}{dearest}, a merge, stands on "
        f"{formats.count(tokens)} training tokens, {tokens / mix:.2f} times the "
        f"{formats.count(mix)} of {baseline}; further merges of the same "
        "models train on nothing new."
    )
