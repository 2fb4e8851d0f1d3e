"""Plan a study: what it would do and cost, in tokens, disk, judge calls, dollars and time.

Reads files and headers; loads no model library.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixmerge.execution.plan import Planned, State, plan
from mixmerge.execution.store import Store
from mixmerge.files import existing_parent
from mixmerge.study.generation_calls import generation_calls
from mixmerge.study.judge_calls import Calls, judge_calls
from mixmerge.study.memory import model_size, step_bytes
from mixmerge.study.preflight import disk_bytes, preflight
from mixmerge.study.resolution import decides, decides_if
from mixmerge.study.run import prepare
from mixmerge.study.scored import Weight
from mixmerge.study.spec import BASE, TOKENS_PER_ROW
from mixmerge.study.speed import GUESS, guessed_seconds
from mixmerge.study.steps import KINDS
from mixmerge.study.steps.generate_data import GenerateData
from mixmerge.study.steps.judge import Judging
from mixmerge.study.steps.mix import Mix
from mixmerge.study.steps.train import Train, trained_rows
from mixmerge.testbed.model import BASES

_CHARACTERS_PER_ROW = 1000.0
_CHARACTERS_PER_TOKEN = 4.0
"""Used until a training has measured it."""


@dataclass(frozen=True)
class Tokens:
    """Estimated training tokens; the exact number is in a training's report."""

    count: int
    rule: str
    """The method of the estimate, in words."""


@dataclass(frozen=True)
class KindCosts:
    """The cost of all steps of one kind; None where it is not known yet."""

    kind: str
    steps: int
    todo: int
    seconds: float | None
    """Of one core; for trainings, of one device."""
    memory_bytes: float | None
    """The lower bound of the step that needs the most."""
    disk_bytes: int | None
    """Model weights written; 0 for other kinds."""
    calls: Calls | None
    """Calls to endpoints, of the kinds that call judges or generate data; None for others."""


@dataclass(frozen=True)
class PlanRow:
    """One step."""

    step: str
    state: State
    reason: str
    """Why the step is out of date."""
    parents: tuple[str, ...]
    cost: str


@dataclass(frozen=True)
class Explained:
    """A study's plan with its costs; None where a cost is not known yet."""

    study: str
    root: Path
    rows: list[PlanRow]
    kinds: list[KindCosts]
    """In the order in which they run."""
    training_rows: int
    """Rows times epochs of the trainings that would run."""
    training_tokens: Tokens
    """Of the same trainings."""
    disk_bytes: int | None
    """Disk space of the checkpoints that would be made."""
    by_name: bool
    """Whether the base model's size is guessed from its name, because it is not downloaded."""
    free_bytes: int
    """The disk of the run folder."""
    calls: Calls
    missing: list[str]
    """What this machine lacks and a run would fail without, a sentence each."""
    errors: list[str]
    """Errors in the study and its files, a sentence each."""
    warnings: list[str]
    """Risks that do not stop a run, a sentence each."""
    notes: list[str]
    """How the data are read, a sentence for each source."""
    decides: list[str]
    """The smallest difference that each deciding axis can detect with its prompts."""
    decides_if: str
    """The assumptions behind `decides`."""
    seconds: float | None
    """Of one core, from finished steps of the same kinds."""
    timed: str
    """The source of the times in `kinds`, in words; empty where there are none."""


def explain(
    study: Path | str,
    out: Path | str | None = None,
    *,
    seed: int | None = None,
    probe: bool = False,
) -> Explained:
    """Return what `mixmerge.run` would do with a study file, without running anything.

    Digests of the study's files are cached in ``cache`` of the run folder, so that neither the next
    plan nor the run reads large files again. The arguments are those of `run`; without ``probe`` no
    network is used.

    Raises:
        SpecError: the study file is invalid; the message gives the line.
    """
    prepared = prepare(study, out, seed=seed)
    planned = {item.step.id: item for item in plan(prepared.steps, Store(prepared.root))}
    todo = [item for item in planned.values() if item.state != "done"]
    looked = preflight(prepared.study, [*planned.values()], prepared.root, probe=probe)

    def said(weight: Weight) -> list[str]:
        return [each.said(prepared.file) for each in looked.findings if each.weight == weight]

    calls = {
        Judging.kind: judge_calls(prepared.study, todo, planned, looked.prompts),
        GenerateData.kind: generation_calls(prepared.study, todo, prepared.root / "cache"),
    }
    size = model_size(f"base/{BASE}", planned)
    rates = _rates(planned)
    expected, timed = rates, "as long as finished steps took" if rates else ""
    if not rates and prepared.study.base.model in BASES:
        expected, timed = dict.fromkeys(KINDS, 1.0), "as on the machine where the testbed was made"
    elif not rates and size is not None:
        timed = GUESS

    def seconds(items: Sequence[Planned]) -> float | None:
        if expected:
            return _seconds(items, expected)
        tokens = _measured_ratio(planned) or _CHARACTERS_PER_TOKEN
        guessed = [
            guessed_seconds(
                item,
                planned,
                _trained_characters(item, planned) / tokens if item.step.kind == Train.kind else 0,
                looked.prompts,
            )
            for item in items
        ]
        known = [each for each in guessed if each is not None]
        return sum(known) if len(known) == len(items) else None

    return Explained(
        study=prepared.study.study,
        root=prepared.root,
        rows=[_row(item, planned) for item in planned.values()],
        kinds=[*_kinds(planned, calls, seconds)],
        training_rows=sum(trained_rows(item, planned) for item in todo),
        training_tokens=_training_tokens(todo, planned),
        disk_bytes=disk_bytes(todo, planned),
        by_name=size is not None and size.by_name,
        free_bytes=shutil.disk_usage(existing_parent(prepared.root.absolute())).free,
        calls=calls[Judging.kind] + calls[GenerateData.kind],
        missing=said("missing"),
        errors=said("error"),
        warnings=said("warning"),
        notes=[*dict.fromkeys(each.text for each in looked.findings if each.weight == "note")],
        decides=decides(prepared.study, planned, looked.prompts),
        decides_if=decides_if(prepared.study),
        seconds=_seconds(todo, rates),
        timed=timed,
    )


def _kinds(
    planned: Mapping[str, Planned],
    calls: Mapping[str, Calls],
    seconds: Callable[[Sequence[Planned]], float | None],
) -> Iterator[KindCosts]:
    for kind in KINDS:
        items = [item for item in planned.values() if item.step.kind == kind]
        todo = [item for item in items if item.state != "done"]
        if not items:
            continue
        sizes = [step_bytes(item, planned) for item in todo]
        yield KindCosts(
            kind=kind,
            steps=len(items),
            todo=len(todo),
            seconds=seconds(todo),
            memory_bytes=max((size for size in sizes if size is not None), default=None),
            disk_bytes=disk_bytes(todo, planned),
            calls=calls[kind] if kind in calls and calls[kind].models else None,
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
    """Return whether a training's mixture is sized in tokens and not made yet."""
    mix = planned[item.step.inputs["rows"]]
    return mix.record is None and Mix().read_settings(mix.step).unit == "tokens"


def _training_tokens(todo: Sequence[Planned], planned: Mapping[str, Planned]) -> Tokens:
    """Estimate the tokens of the pending trainings.

    Finished mixtures give the characters, finished trainings the characters per token.
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


def _rates(planned: Mapping[str, Planned]) -> dict[str, float]:
    """Return the ratio of measured to guessed seconds, by kind of step.

    A kind without a finished step has the ratio of all others together. Empty where nothing is
    finished.
    """
    expected: dict[str, float] = {}
    took: dict[str, float] = {}
    for item in planned.values():
        record: Mapping[str, Any] | None = item.record
        if record is not None and "adopted" not in record:  # no training time
            kind = item.step.kind
            expected[kind] = expected.get(kind, 0.0) + item.step.needs.seconds
            took[kind] = took.get(kind, 0.0) + float(record["seconds"])
    if not expected:
        return {}
    overall = sum(took.values()) / sum(expected.values())
    return {kind: took[kind] / expected[kind] if kind in expected else overall for kind in KINDS}


def _seconds(todo: Sequence[Planned], rates: Mapping[str, float]) -> float | None:
    if not rates:
        return None
    return sum(item.step.needs.seconds * rates[item.step.kind] for item in todo)
