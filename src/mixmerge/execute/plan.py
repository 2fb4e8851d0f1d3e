"""What a run would do: which steps are done, which would run, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mixmerge.execute.graph import in_order
from mixmerge.execute.step import Step
from mixmerge.execute.store import RECORD, STEP, Store
from mixmerge.files import read_json

State = Literal["done", "to do", "changed"]


@dataclass(frozen=True)
class Planned:
    """One step of a plan."""

    step: Step
    state: State
    reason: str = ""
    """For ``changed``: what differs from the finished step of the same name."""
    record: Mapping[str, Any] | None = None
    """For ``done``."""
    folder: Path | None = None
    """For ``done``."""
    earlier: Path | None = None
    """For ``changed``: the finished step of the same name."""


def plan(steps: Sequence[Step], store: Store) -> list[Planned]:
    """Say of each step whether it is done, in the order in which they would run.

    Reads files, runs nothing.
    """
    passed_on: dict[str, str] = {}
    planned = []
    for step in in_order(steps):
        known = all(parent in passed_on for parent in step.inputs.values())
        key = store.key(step, passed_on) if known else None
        planned.append(_planned(step, key, store))
        handed = store.passes_on(step, key) if key else None
        if handed:
            passed_on[step.id] = handed
    return planned


def _planned(step: Step, key: str | None, store: Store) -> Planned:
    record = store.record(step, key) if key else None
    if key and record:
        return Planned(step, "done", record=record, folder=store.folder(step, key))
    earlier = _latest_of_same_name(step, store)
    if earlier is None:
        return Planned(step, "to do")
    return Planned(step, "changed", _difference(read_json(earlier / STEP), step), earlier=earlier)


def _latest_of_same_name(step: Step, store: Store) -> Path | None:
    folders = (store.root / step.kind).glob(f"{step.name}-????????")
    finished = [folder for folder in folders if (folder / RECORD).is_file()]
    return max(finished, key=lambda folder: (folder / RECORD).stat().st_mtime, default=None)


def _difference(earlier: Mapping[str, Any], step: Step) -> str:
    if earlier["version"] != step.version:
        return f"version {earlier['version']} → {step.version}"
    found = _first_difference(earlier["settings"], dict(step.settings), "")
    if found:
        return found
    if set(earlier["files"]) != set(step.files) or set(earlier["inputs"]) != set(step.inputs):
        return "other inputs"
    return "an input changed"


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
