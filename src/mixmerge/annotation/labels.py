"""Read labels back: only those for the texts that were shown, as labels and human verdicts."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from mixmerge.annotation.exchange import FORMATS, recognised
from mixmerge.annotation.plan import prompt_shown
from mixmerge.annotation.task import LABELS, GivenLabel, KeyItem, outcome_of
from mixmerge.durable import read_log
from mixmerge.errors import DataError
from mixmerge.evaluation.calibration.labels import Label
from mixmerge.evaluation.calibration.material import Material
from mixmerge.evaluation.judges.human import GivenVerdict
from mixmerge.files import first_problem, read_json, write_rows
from mixmerge.records import Axis, Outcome, RowModel

LABELS_FILE, VERDICTS = "labels.jsonl", "verdicts"
"""What is written: for `calibrate: {labels: …}`, and a folder for `judge: {human: …}`."""


class LabelFile(RowModel):
    """A file of labels that an annotator downloaded from the page and sent back."""

    task: str
    annotator: str
    labels: tuple[GivenLabel, ...] = Field(max_length=1_000_000)


@dataclass(frozen=True)
class Judged:
    """An item with an annotator's label, in the order in which they were given."""

    item: KeyItem
    label: GivenLabel
    place: int
    """From 0, among the annotator's labels by time."""

    @property
    def outcome(self) -> Outcome | None:
        """As seen from the model; None if it could not be judged."""
        return outcome_of(self.label.choice, self.item)


@dataclass
class Collected:
    """All labels that count, and what was left out."""

    judged: dict[str, list[Judged]]
    """By annotator, each in the order of time; practice and checks included."""
    notes: list[str] = field(default_factory=list)
    """Sentences on labels that were refused, and on browsers."""

    def items(self, name: str | None = None, axis: Axis | None = None) -> list[Judged]:
        """Return the labels of items with an outcome: of an annotator, or on an axis."""
        return [
            one
            for who, rows in self.judged.items()
            for one in rows
            if one.item.kind == "item"
            and one.outcome
            and name in (None, who)
            and axis in (None, one.item.axis)
        ]


def collect(
    folder: Path,
    task: str,
    key: Sequence[KeyItem],
    files: Sequence[Path],
    materials: Sequence[Material],
) -> Collected:
    """Read the server's journals and files sent back; refuse labels for texts that changed.

    Raises:
        DataError: a file is not one of labels of this task, or two people used one name.
    """
    names = list(dict.fromkeys(item.annotator for item in key))
    given = {
        name: _valid(folder / LABELS / f"{name}.jsonl", read_log(folder / LABELS / f"{name}.jsonl"))
        for name in names
    }
    for file in files:
        for name, labels in _read_file(file, task, names):
            given[name].extend(labels)
    found = Collected({})
    current = {material.axis: material for material in materials}
    prompts = {
        (material.axis, prompt.id): prompt_shown(prompt.messages)
        for material in materials
        for prompt in material.prompts
    }
    for name, labels in given.items():
        items = {item.id: item for item in key if item.annotator == name}
        latest = _latest(name, labels, found.notes)
        kept = [(items[label.id], label) for label in latest if label.id in items]
        fit = [_fits(*pair, current, prompts) for pair in kept]
        changed = [item for (item, _), fits in zip(kept, fit, strict=True) if not fits]
        fitting = [pair for pair, fits in zip(kept, fit, strict=True) if fits]
        if len(fitting) < len(latest):
            found.notes.append(
                f"{name}: {len(latest) - len(fitting)} labels are refused, because "
                "they were given for other texts than the task's or the run's of today"
                + (f" (the first: {changed[0].axis}, {changed[0].prompt!r})." if changed else ".")
            )
        found.judged[name] = [Judged(*pair, place) for place, pair in enumerate(fitting)]
    return found


def write_labels(folder: Path, found: Collected, materials: Sequence[Material]) -> int:
    """Write `LABELS_FILE` and the folder `VERDICTS`; return the number of labels."""
    rows = [row for one in found.items() for row in _labels(one)]
    write_rows(folder / LABELS_FILE, rows)
    for material in materials:
        prompts = {prompt.id: prompt for prompt in material.prompts}
        for model in material.models:
            write_rows(
                folder / VERDICTS / model / f"{material.axis}.jsonl",
                (
                    _verdict(one, prompts[one.item.prompt])
                    for one in found.items(axis=material.axis)
                    if model in one.item.models
                ),
            )
    return len(rows)


def _labels(one: Judged) -> Iterable[Label]:
    item = one.item
    assert one.outcome is not None
    for model in item.models:
        yield Label(
            model=model,
            axis=item.axis,
            prompt=item.prompt,
            outcome=one.outcome,
            judge=item.annotator,
            answer=item.answer,
            base_answer=item.base_answer,
        )


def _verdict(one: Judged, prompt: Any) -> GivenVerdict:
    item, label = one.item, one.label
    assert one.outcome is not None
    notes = {"severity": str(label.severity or ""), "category": label.category}
    return GivenVerdict(
        prompt=item.prompt,
        cluster=prompt.cluster,
        language=prompt.language,
        category=prompt.category,
        axis=item.axis,
        judge=item.annotator,
        order=None
        if item.base_answer is None
        else ("base-first" if item.base_first else "model-first"),
        outcome=one.outcome,
        reason=label.reason,
        notes={name: value for name, value in notes.items() if value},
        answer=item.answer,
        base_answer=item.base_answer,
    )


def _latest(name: str, labels: Sequence[GivenLabel], notes: list[str]) -> list[GivenLabel]:
    """Return the last label of each item, by time; refuse two people under one name."""
    by_device: dict[str, dict[str, GivenLabel]] = {}
    for label in sorted(labels, key=lambda label: label.at):
        by_device.setdefault(label.device, {})[label.id] = label
    contradicted = Counter(
        label.id
        for own in by_device.values()
        for label in own.values()
        if any(
            label.choice != other[label.id].choice
            for other in by_device.values()
            if label.id in other
        )
    )
    if contradicted:
        raise DataError(
            f"{name}: labels come from {len(by_device)} browsers and contradict each other on "
            f"{len(contradicted)} items. If two people used this name, keep the file or the rows "
            f"of one of them (`device` in {LABELS}/{name}.jsonl tells them apart: "
            f"{', '.join(by_device)}) and plan a page for the other."
        )
    if len(by_device) > 1:
        notes.append(f"{name}: labels come from {len(by_device)} browsers.")
    latest = {label.id: label for own in by_device.values() for label in own.values()}
    return sorted(latest.values(), key=lambda label: label.at)


def _fits(
    item: KeyItem,
    label: GivenLabel,
    current: Mapping[Axis, Material],
    prompts: Mapping[tuple[Axis, str], str],
) -> bool:
    """Return whether a label is for the texts that were shown, and these are still the run's."""
    if label.shown != item.shown:
        return False
    if item.kind != "item":
        return True
    material = current.get(item.axis)
    if material is None or prompts.get((item.axis, item.prompt)) != item.text:
        return False
    now = {material.texts(model, item.prompt) for model in item.models if model in material.models}
    if item.base_answer is None:
        return {own for own, _ in now} == {item.answer}
    return now == {(item.answer, item.base_answer)}


def _valid(path: Path, rows: Iterable[Any]) -> list[GivenLabel]:
    try:
        return [GivenLabel.model_validate(row) for row in rows]
    except ValidationError as error:
        raise DataError(f"{path}: {first_problem(error)}") from error


def _read_file(
    path: Path, task: str, names: Sequence[str]
) -> Iterator[tuple[str, Sequence[GivenLabel]]]:
    """Yield the labels of each annotator in a page's file, or in a tool's export."""
    value = read_json(path)
    tool = recognised(value)
    try:
        if tool is None:
            sent = [LabelFile.model_validate(value)]
        else:
            rows = FORMATS[tool].labels(value)
            by_name: dict[str, list[GivenLabel]] = {}
            for row in rows:
                name = str(row.pop("annotator"))
                by_name.setdefault(name, []).append(GivenLabel.model_validate(row))
            sent = [
                LabelFile(task=task, annotator=name, labels=tuple(labels))
                for name, labels in by_name.items()
            ]
    except ValidationError as error:
        raise DataError(f"{path}: is not a file of labels: {first_problem(error)}") from error
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"{path}: an export of {tool} lacks {error}. Export it again.") from error
    for each in sent:
        if each.task != task or each.annotator not in names:
            raise DataError(
                f"{path}: holds the labels of {each.annotator!r} for task {each.task}; this is "
                f"task {task}, with {', '.join(names)}. Give the folder that the page was sent "
                "from."
            )
        yield each.annotator, each.labels
