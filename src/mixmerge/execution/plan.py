"""The plan of a run: which steps are done, which would run, and why."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mixmerge.execution.step import Step, in_order
from mixmerge.execution.store import RECORD, Store, adopted_as, read_asked

_SUFFIX = len("-01234567")

State = Literal["done", "to do", "out of date"]


@dataclass(frozen=True)
class Planned:
    """One step of a plan."""

    step: Step
    state: State
    reason: str = ""
    """For ``out of date``: the difference from the finished step of that name."""
    record: Mapping[str, Any] | None = None
    """For ``done``."""
    folder: Path | None = None
    """For ``done``."""
    earlier: Path | None = None
    """For ``out of date``: the finished step of that name."""
    key: str | None = None
    """The step's identity; None while it depends on missing output."""


def plan(steps: Sequence[Step], store: Store) -> list[Planned]:
    """Return whether each step is done, in the order in which they would run.

    Reads files, runs nothing.
    """
    folders: dict[str, Path] = {}
    passed_on: dict[str, str] = {}
    finished = _latest(store.root, {step.kind for step in steps})
    planned = []
    for step in in_order(steps):
        known = all(parent in passed_on for parent in step.inputs.values())
        key = store.key(step, passed_on) if known else None
        planned.append(_planned(step, key, store, finished, folders))
        if key:
            folders[step.id] = store.folder(step, key)
            record = planned[-1].record
            if not step.by_output:
                passed_on[step.id] = key
            elif record is not None:
                passed_on[step.id] = str(record["output"])
    return planned


def _latest(root: Path, kinds: Iterable[str]) -> dict[tuple[str, str], Path]:
    """Return the latest finished step of each kind and name."""
    records = [record for kind in kinds for record in (root / kind).glob(f"*/{RECORD}")]
    records.sort(key=lambda record: record.stat().st_mtime)
    return {(r.parts[-3], r.parent.name[:-_SUFFIX]): r.parent for r in records}


def _planned(
    step: Step,
    key: str | None,
    store: Store,
    finished: Mapping[tuple[str, str], Path],
    folders: Mapping[str, Path],
) -> Planned:
    record = store.record(step, key) if key else None
    if key and record:
        return Planned(step, "done", record=record, folder=store.folder(step, key), key=key)
    earlier = finished.get((step.kind, step.name))
    if earlier is None:
        return Planned(step, "to do", key=key)
    if key and (earlier == store.folder(step, key) or adopted_as(earlier) == key):
        return Planned(step, "out of date", "its output is gone", key=key)
    asked = read_asked(earlier)
    if asked is None:
        return Planned(step, "to do", key=key)
    reason = _difference(asked, step, store.root, folders)
    return Planned(step, "out of date", reason, earlier=earlier, key=key)


def _difference(
    earlier: Mapping[str, Any], step: Step, root: Path, folders: Mapping[str, Path]
) -> str:
    """Return the first difference between a step and the finished one of its name."""
    if earlier["version"] != step.version:
        return f"version {earlier['version']} → {step.version}"
    found = _first_difference(earlier["settings"], dict(step.settings), "")
    if found:
        return found
    for role in [*step.inputs, *(role for role in earlier["inputs"] if role not in step.inputs)]:
        if role not in earlier["inputs"] or role not in step.inputs:
            return f"input {role} {'removed' if role in earlier['inputs'] else 'added'}"
    for role, parent in step.inputs.items():
        if root / earlier["inputs"][role] != folders.get(parent):
            return f"{parent} changed"
    return "a file changed" if step.files else "an input changed"


def _first_difference(old: Any, new: Any, where: str) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*new, *(key for key in old if key not in new)]:
            inside = f"{where}.{key}" if where else key
            if key not in old or key not in new:
                return f"{inside} {'added' if key not in old else 'removed'}"
            if found := _first_difference(old[key], new[key], inside):
                return found
        return ""
    return "" if old == new else f"{where} changed {_short(old)} → {_short(new)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:37] + "..."
