"""The calls to judge models that a run would make, and their price."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from mixmerge.evaluation.judges import members
from mixmerge.evaluation.judges.endpoint import EndpointJudgeSpec
from mixmerge.evaluation.measures import Measure
from mixmerge.execution.plan import Planned
from mixmerge.records import Axis, Prompt
from mixmerge.records.judge_card import ProbeName
from mixmerge.study.resolution import prompt_counts
from mixmerge.study.spec import Study
from mixmerge.study.steps.calibrate import Calibrate
from mixmerge.study.steps.judge import Judging
from mixmerge.study.steps.prompts import Prompts
from mixmerge.study.steps.rewards import weights_of
from mixmerge.study.steps.train import Train, trained_rows

_RUBRIC_TOKENS = 800
"""Tokens of a rubric with a prompt, rounded up, without the answers."""


@dataclass(frozen=True)
class Calls:
    """Calls to models behind endpoints that a run would make."""

    models: list[str]
    count: int | None
    """None until the prompts or seeds are known. An upper bound: identical answers are counted
    though they are not sent, and a trial is counted with the most probes it can have."""
    dollars: float | None
    """An upper bound at the study file's prices; None where a price is missing."""
    unpriced: list[str]
    """Models without a price."""

    def __add__(self, other: "Calls") -> "Calls":
        return Calls(
            list(dict.fromkeys([*self.models, *other.models])),
            None if None in (self.count, other.count) else (self.count or 0) + (other.count or 0),
            _sum([calls.dollars for calls in (self, other) if calls.models]),
            list(dict.fromkeys([*self.unpriced, *other.unpriced])),
        )


def _sum(dollars: Sequence[float | None]) -> float | None:
    known = [each for each in dollars if each is not None]
    return sum(known) if known and len(known) == len(dollars) else None


def judge_calls(
    study: Study,
    todo: Sequence[Planned],
    planned: Mapping[str, Planned],
    prompts: Mapping[str, Sequence[Prompt]],
) -> Calls:
    """Count the calls to judge models, with an upper bound on their price.

    ``prompts`` holds prompts by step that are known though their step has not run.
    """
    models: dict[str, None] = {}
    unpriced: dict[str, None] = {}
    count: int | None = 0
    dollars: float | None = 0.0
    for axis, judge in _endpoints(study):
        models[judge.model] = None
        if judge.price is None:
            unpriced[judge.model] = None
        asked = _calls(study, axis, todo, planned, prompts)
        asked = None if asked is None else asked + _probes(study, axis, todo)
        count = None if asked is None or count is None else count + asked
        spent = None if asked is None else _dollars(study, axis, judge, asked)
        dollars = None if spent is None or dollars is None else dollars + spent
    return Calls(list(models), count, dollars if models else None, list(unpriced))


def _endpoints(study: Study) -> Iterator[tuple[Axis, EndpointJudgeSpec]]:
    for axis, spec in study.evaluate.judged.items():
        for judge in members(spec.judge):
            if isinstance(judge, EndpointJudgeSpec):
                yield axis, judge


def _answers_per_prompt(measure: Measure) -> int:
    """Return how many answers a judge sees at once, and in how many orders: 2 to compare."""
    return 2 if measure.asks == "comparison" else 1


def _is_of_base(item: Planned, measure: Measure) -> bool:
    """Return whether a judge step is that of the base model, whose value needs no verdict."""
    inputs = item.step.inputs
    return measure.of_base is not None and inputs["answers"] == inputs["base_answers"]


def _calls(
    study: Study,
    axis: Axis,
    todo: Sequence[Planned],
    planned: Mapping[str, Planned],
    known: Mapping[str, Sequence[Prompt]],
) -> int | None:
    """Count the calls of one axis over the pending judge steps, and trainings that it rewards."""
    measure, calls = study.evaluate.axes[axis].measure, 0
    for item in todo:
        if item.step.kind == Train.kind and axis in Train().read_settings(item.step).judges:
            calls += trained_rows(item, planned)  # each of them an answer
        if item.step.kind != Judging.kind:
            continue
        if _is_of_base(item, measure):
            continue
        if f"prompts:{axis}" not in item.step.inputs:
            continue  # selection may leave axes out
        counts = prompt_counts(item.step.inputs[f"prompts:{axis}"], planned, known)
        if counts is None:
            return None
        calls += counts[0] * _answers_per_prompt(measure)
    return calls


def _probes(study: Study, axis: Axis, todo: Sequence[Planned]) -> int:
    spec = study.evaluate.calibrate
    if spec is None or not any(item.step.kind == Calibrate.kind for item in todo):
        return 0
    orders = _answers_per_prompt(study.evaluate.axes[axis].measure)
    return len(get_args(ProbeName)) * spec.probes * orders


def _dollars(study: Study, axis: Axis, judge: EndpointJudgeSpec, calls: int) -> float | None:
    if judge.price is None:
        return None
    shown = _answers_per_prompt(study.evaluate.axes[axis].measure)
    rewarded = [recipe.own for recipe in study.training.values() if axis in weights_of(recipe)]
    longest: list[int] = [own.max_completion_length for own in rewarded]
    answers = shown * max([study.evaluate.decoding.max_new_tokens, *longest])
    sent = (_RUBRIC_TOKENS + answers) * judge.price.input
    return calls * (sent + judge.max_tokens * judge.price.output) / 1e6


def calls_for(
    study: Study, axis: Axis, steps: Mapping[str, Planned], prompts: int
) -> tuple[int | None, float | None]:
    """Return the calls that so many prompts of an axis take, over all models, and their price.

    None where no judge model is called, and for the price where one has none.
    """
    asked = [judge for own, judge in _endpoints(study) if own == axis]
    if not asked:
        return None, None
    measure = study.evaluate.axes[axis].measure
    models = 0
    for item in steps.values():
        own_round = item.step.inputs.get(f"prompts:{axis}") == f"{Prompts.kind}/{axis}"
        if item.step.kind == Judging.kind and own_round:
            models += not _is_of_base(item, measure)
    calls = models * prompts * _answers_per_prompt(measure)
    dollars = [_dollars(study, axis, judge, calls) for judge in asked]
    known = [price for price in dollars if price is not None]
    return calls * len(asked), sum(known) if len(known) == len(dollars) else None
