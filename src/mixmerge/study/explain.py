"""What a study would do and cost, before it does: reads files, loads no model library.

Costs are tokens, disk, judge calls and dollars, and time.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from mixmerge.evaluation.judges import members
from mixmerge.evaluation.judges.endpoint import EndpointJudgeSpec
from mixmerge.evaluation.measures import Measure
from mixmerge.execution.plan import Planned, State, plan
from mixmerge.execution.store import Store
from mixmerge.files import existing_parent
from mixmerge.records import Axis
from mixmerge.records.judge_card import ProbeName
from mixmerge.study.preflight import missing_keys
from mixmerge.study.run import prepare
from mixmerge.study.spec import BASE, TOKENS_PER_ROW, Study
from mixmerge.study.steps import KINDS
from mixmerge.study.steps.calibrate import Calibrate
from mixmerge.study.steps.judge import Judging
from mixmerge.study.steps.kind import model_path
from mixmerge.study.steps.merge import Merge
from mixmerge.study.steps.mix import Mix
from mixmerge.study.steps.prompts import Prompts
from mixmerge.study.steps.train import Train, trained_rows

_RUBRIC_TOKENS = 800
"""Of a rubric with a prompt, rounded up; answers come on top."""
_CHARACTERS_PER_ROW = 1000.0
_CHARACTERS_PER_TOKEN = 4.0
"""Until a training has measured it."""


@dataclass(frozen=True)
class Tokens:
    """How many tokens trainings read: always an estimate, exact only in a training's report."""

    count: int
    rule: str
    """How they were estimated, in words."""


@dataclass(frozen=True)
class Calls:
    """What judge models would be asked."""

    models: list[str]
    count: int | None
    """None until the prompts are there. Identical answers, which are not sent, are included, and as
    many probes of a trial as there may be."""
    dollars: float | None
    """At most, at the prices that the study file names; None where it names none."""


@dataclass(frozen=True)
class PlanRow:
    """One step."""

    step: str
    state: State
    reason: str
    """Why it is out of date."""
    parents: tuple[str, ...]
    cost: str


@dataclass(frozen=True)
class Explained:
    """A study's plan with its costs; None where something is not known yet."""

    study: str
    root: Path
    rows: list[PlanRow]
    training_rows: int
    """Rows times epochs, of the trainings that would run."""
    training_tokens: Tokens
    """Of the same."""
    disk_bytes: int | None
    """Of the checkpoints that would be made."""
    free_bytes: int
    """Where the run folder is."""
    calls: Calls
    missing: list[str]
    """What a run would miss, a sentence each."""
    seconds: float | None
    """Of one core, from the seconds of finished steps of the same kinds."""


def explain(
    study: Path | str, out: Path | str | None = None, *, seed: int | None = None
) -> Explained:
    """Say what `mixmerge.run` would do with a study file.

    Runs nothing. Digests of the files that the study names are kept in ``cache`` of the run folder:
    neither the next plan nor the run reads large ones again. The arguments are those of `run`.

    Raises:
        SpecError: the study file is wrong, with the line.
    """
    prepared = prepare(study, out, seed=seed)
    planned = {item.step.id: item for item in plan(prepared.steps, Store(prepared.root))}
    todo = [item for item in planned.values() if item.state != "done"]
    return Explained(
        study=prepared.study.study,
        root=prepared.root,
        rows=[_row(item, planned) for item in planned.values()],
        training_rows=sum(trained_rows(item, planned) for item in todo),
        training_tokens=_training_tokens(todo, planned),
        disk_bytes=_disk_bytes(todo, planned),
        free_bytes=shutil.disk_usage(existing_parent(prepared.root.absolute())).free,
        calls=judge_calls(prepared.study, todo, planned),
        missing=missing_keys([*planned.values()]),
        seconds=_seconds(todo, planned),
    )


def _row(item: Planned, planned: Mapping[str, Planned]) -> PlanRow:
    parents = tuple(dict.fromkeys(item.step.inputs.values()))
    if item.record is None:
        kind = KINDS[item.step.kind]
        cost = kind.cost(kind.read_settings(item.step), trained_rows(item, planned))
    elif adopted := item.record.get("adopted"):
        cost = f"adopted from {adopted}"
    else:
        cost = f"took {item.record['seconds']:.1f} s"
    return PlanRow(item.step.id, item.state, item.reason, parents, cost)


def _asks_for_tokens(item: Planned, planned: Mapping[str, Planned]) -> bool:
    """Say whether a training's mixture is not made yet and has a size in tokens."""
    mix = planned[item.step.inputs["rows"]]
    return mix.record is None and Mix().read_settings(mix.step).unit == "tokens"


def _training_tokens(todo: Sequence[Planned], planned: Mapping[str, Planned]) -> Tokens:
    """Estimate the tokens of the trainings to do.

    Made mixtures know their characters, finished trainings how many of them make a token.
    """
    trainings = [item for item in todo if item.step.kind == Train.kind]
    mixed = [item for item in trainings if _characters_per_row(item, planned) is not None]
    characters = sum(_trained_characters(item, planned) for item in trainings)
    ratio = _measured_ratio(planned)
    rules = [
        "characters of the mixtures"
        if len(mixed) == len(trainings)
        else "characters of the mixtures that are made, as many in the others"
        if mixed
        else f"{_CHARACTERS_PER_ROW:,.0f} characters a row, until the mixtures are made",
        f"{ratio or _CHARACTERS_PER_TOKEN:.1f} characters a token"
        + (" as in finished trainings" if ratio else ""),
    ]
    if any(_asks_for_tokens(item, planned) for item in trainings):
        rules.append(f"{TOKENS_PER_ROW} tokens a row where a mixture's size is in tokens")
    return Tokens(round(characters / (ratio or _CHARACTERS_PER_TOKEN)), "; ".join(rules))


def _characters_per_row(item: Planned, planned: Mapping[str, Planned]) -> float | None:
    record = planned[item.step.inputs["rows"]].record
    if record is None:
        return None
    facts = Mix().read_facts(record)
    return facts.characters / facts.rows if facts.rows else None


def _trained_characters(item: Planned, planned: Mapping[str, Planned]) -> float:
    known = _characters_per_row(item, planned)
    if _asks_for_tokens(item, planned):
        known = TOKENS_PER_ROW * (_measured_ratio(planned) or _CHARACTERS_PER_TOKEN)
    if known is None:
        trainings = [each for each in planned.values() if each.step.kind == Train.kind]
        others = [_characters_per_row(each, planned) for each in trainings]
        made = [number for number in others if number is not None]
        known = sum(made) / len(made) if made else _CHARACTERS_PER_ROW
    return known * trained_rows(item, planned)


def _measured_ratio(planned: Mapping[str, Planned]) -> float | None:
    done = [i for i in planned.values() if i.step.kind == Train.kind and i.record is not None]
    done = [item for item in done if _characters_per_row(item, planned) is not None]
    tokens = sum(Train().read_facts(item.record).tokens for item in done if item.record)
    return sum(_trained_characters(item, planned) for item in done) / tokens if tokens else None


def _disk_bytes(todo: Sequence[Planned], planned: Mapping[str, Planned]) -> int | None:
    """Estimate the weights to write from the base model's; None until it is here."""
    base = planned.get(f"base/{BASE}")
    if base is None:
        return None
    folder = model_path(base.folder) if base.folder is not None else None
    if folder is None and base.step.files:
        (folder,) = map(Path, base.step.files.values())
    if folder is None or not folder.is_dir():
        return None
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return size * sum(item.step.kind in (Train.kind, Merge.kind) for item in todo)


def judge_calls(study: Study, todo: Sequence[Planned], planned: Mapping[str, Planned]) -> Calls:
    """Count the calls to judge models, and their price at most."""
    models: dict[str, None] = {}
    count: int | None = 0
    dollars: float | None = 0.0
    for axis, judge in _endpoints(study):
        models[judge.model] = None
        asked = _calls(study, axis, todo, planned)
        asked = None if asked is None else asked + _probes(study, axis, todo)
        count = None if asked is None or count is None else count + asked
        spent = None if asked is None else _dollars(study, axis, judge, asked)
        dollars = None if spent is None or dollars is None else dollars + spent
    return Calls(list(models), count, dollars if models else None)


def _endpoints(study: Study) -> Iterator[tuple[Axis, EndpointJudgeSpec]]:
    for axis, spec in study.evaluate.axes.items():
        for judge in members(spec.judge):
            if isinstance(judge, EndpointJudgeSpec):
                yield axis, judge


def _answers_per_prompt(measure: Measure) -> int:
    """Return how many answers a judge sees at once, and in how many orders: two to compare."""
    return 2 if measure.asks == "comparison" else 1


def _calls(
    study: Study, axis: Axis, todo: Sequence[Planned], planned: Mapping[str, Planned]
) -> int | None:
    """Count the calls of one axis over the judge steps to do, which name their own prompts."""
    measure, calls = study.evaluate.axes[axis].measure, 0
    for item in todo:
        if item.step.kind != Judging.kind:
            continue
        compares_itself = item.step.inputs["answers"] == item.step.inputs["base_answers"]
        if measure.of_base is not None and compares_itself:
            continue
        if f"prompts:{axis}" not in item.step.inputs:
            continue  # selection need not look at every axis
        prompts = planned[item.step.inputs[f"prompts:{axis}"]].record
        if prompts is None:
            return None
        calls += Prompts().read_facts(prompts).rows * _answers_per_prompt(measure)
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
    answers = shown * study.evaluate.decoding.max_new_tokens
    sent = (_RUBRIC_TOKENS + answers) * judge.price.input
    return calls * (sent + judge.max_tokens * judge.price.output) / 1e6


def _seconds(todo: Sequence[Planned], planned: Mapping[str, Planned]) -> float | None:
    """Estimate the time of what is to do, on one core, from how long finished steps took.

    A kind of step of which none is finished takes as much longer than expected as all others do.
    """
    expected: dict[str, float] = {}
    took: dict[str, float] = {}
    for item in planned.values():
        record: Mapping[str, Any] | None = item.record
        if record is not None and "adopted" not in record:  # what was made elsewhere took no time
            kind = item.step.kind
            expected[kind] = expected.get(kind, 0.0) + item.step.needs.seconds
            took[kind] = took.get(kind, 0.0) + float(record["seconds"])
    if not expected:
        return None
    overall = sum(took.values()) / sum(expected.values())
    rates = {kind: took[kind] / expected[kind] for kind in expected}
    return sum(item.step.needs.seconds * rates.get(item.step.kind, overall) for item in todo)
