"""``status.json``: the state of a run, for people and other tools, during the run and after it.

The driver rewrites the file at most twice a second, always whole. The schema::

    {"schema": 1, "state": "running" | "stopping" | "done" | "failed" | "interrupted" | "broken",
     "owner": {"pid", "host", "command", "since"}, "updated": UTC,
     "steps": {ID: {"state": "waiting" | "running" | "done" | "failed" | "blocked",
                    "folder", "reused", "seconds", "attempts", "done", "total", "what", "message",
                    "waits_for"}}}

Fields of a step that are not known are left out.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mixmerge.durable import Owner, holder, now, show, this_process
from mixmerge.errors import SpecError
from mixmerge.execution import events
from mixmerge.execution.step import Step
from mixmerge.execution.store import LOCK, note, read_progress
from mixmerge.files import read_object

STATUS = "status.json"
_EVERY_SECONDS = 0.5
STATES = ("done", "running", "waiting", "failed", "blocked")
"""Of steps, in the order in which they are counted."""
_FEW = 3
"""Steps that are named one by one."""


class StatusFile:
    """Keeps ``status.json`` of a run, and the run's journal."""

    def __init__(self, root: Path, steps: Iterable[Step]) -> None:
        """Begin the files in the run folder ``root``."""
        self._root = root
        self._steps: dict[str, dict[str, Any]] = {step.id: {"state": "waiting"} for step in steps}
        self._status = {"schema": 1, "state": "running", "owner": asdict(this_process())}
        self._written = -_EVERY_SECONDS
        self._write()

    def __call__(self, event: events.Event) -> None:
        """Note an event."""
        match event:
            case events.Reused(step, record):
                self._set(step, state="done", reused=True, seconds=record.get("seconds"))
            case events.Started(step, folder):
                place = str(folder.relative_to(self._root))
                attempts = self._steps[step.id].get("attempts", 0) + 1
                self._set(step, state="running", folder=place, attempts=attempts)
                note(self._root, "started", step=step.id, folder=place)
            case events.Progressed(step, done, total, what):
                self._add(step, done=done, total=total, what=what)
            case events.Finished(step, record):
                known, seconds = self._steps[step.id], record.get("seconds")
                kept = {"folder": known["folder"], "attempts": known["attempts"]}
                self._set(step, state="done", reused=False, seconds=seconds, **kept)
                note(self._root, "finished", step=step.id, seconds=seconds)
            case events.Retried(step, message):
                self._add(step, state="waiting", message=message)
                note(self._root, "retried", step=step.id, message=message)
            case events.Failed(step, folder, message):
                place = str(folder.relative_to(self._root))
                self._set(step, state="failed", folder=place, message=message)
                note(self._root, "failed", step=step.id, message=message)
            case events.Blocked(step, by):
                root = self._steps[by].get("waits_for", by)
                self._set(step, state="blocked", waits_for=root, message=f"waits for {root}")
            case events.Stopping(running):
                self._status["state"] = "stopping"
                self._write()
                note(self._root, "stopping", running=running)
            case events.Ended(end):
                self._status["state"] = end
                self._write()
                note(self._root, "ended", state=end)

    def _add(self, step: Step, **fields: Any) -> None:
        self._set(step, **(self._steps[step.id] | fields))

    def _set(self, step: Step, **fields: Any) -> None:
        # Progress is written now and then; a beginning or an end is written at once, and so is
        # what was reused before it.
        goes_on = fields.get("reused") or fields["state"] == self._steps[step.id]["state"]
        self._steps[step.id] = fields
        if not goes_on or time.monotonic() - self._written >= _EVERY_SECONDS:
            self._write()

    def _write(self) -> None:
        show(self._root / STATUS, {**self._status, "updated": now(), "steps": self._steps})
        self._written = time.monotonic()


@dataclass(frozen=True)
class StepStatus:
    """The state of one step of a run."""

    step: str
    state: str
    """``waiting``, ``running``, ``done``, ``failed`` or ``blocked``."""
    folder: Path | None
    done: float | None = None
    """Of `total`, for a running step that has said so."""
    total: float | None = None
    what: str = ""
    """What a running step does."""
    message: str = ""
    """Why a step failed, is tried again, or cannot run."""
    waits_for: str = ""
    """The failed step because of which it cannot run."""


@dataclass(frozen=True)
class RunStatus:
    """The state of a run."""

    state: str
    """``running``, ``stopping``, ``done``, ``failed`` or ``interrupted``; ``broken``: the driver
    ended with an error; ``dead``: it was killed, or its machine went down."""
    owner: Owner
    """The driver, the last one if it has ended."""
    updated: str
    """When the driver last wrote: UTC."""
    steps: list[StepStatus]
    """All, in the order of the study."""

    @property
    def counts(self) -> dict[str, int]:
        """Number of steps by state."""
        return dict(Counter(step.state for step in self.steps))

    @property
    def waits(self) -> dict[str, str]:
        """The steps that cannot run, each with the failed step that they wait for."""
        return {step.step: step.waits_for for step in self.steps if step.waits_for}


def counted(counts: Mapping[str, int]) -> str:
    """Count the steps by state: ``22 steps: 14 done, 8 waiting``."""
    states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts.get(state))
    return f"{sum(counts.values())} steps: {states}"


def waiting_for(waits: Mapping[str, str]) -> list[str]:
    """Say in one line for each failed step what waits for it."""
    groups: dict[str, list[str]] = {}
    for step, failed in waits.items():
        groups.setdefault(failed, []).append(step)
    return [
        f"{failed} failed: {_some(steps)} wait{'s' * (len(steps) == 1)} for it."
        for failed, steps in groups.items()
    ]


def _some(steps: list[str]) -> str:
    if len(steps) <= _FEW:
        return " and ".join(filter(None, [", ".join(steps[:-1]), steps[-1]]))
    return f"{steps[0]} and {len(steps) - 1} more steps"


def status(folder: Path) -> RunStatus:
    """Return the state of the run in a folder: live, finished or dead; reads files only.

    Raises:
        SpecError: nothing was ever run in the folder, or its status is damaged.
    """
    if not (folder / STATUS).exists():
        raise SpecError(f"{folder}: no {STATUS}; give the folder of a `mixmerge run` or `demo`.")
    read = read_object(folder / STATUS)
    try:
        steps = [_step(folder, name, fields) for name, fields in read["steps"].items()]
        found = RunStatus(read["state"], Owner(**read["owner"]), read["updated"], steps)
    except (KeyError, TypeError, AttributeError):
        raise SpecError(f"{folder / STATUS}: is damaged; run the study again.") from None
    if found.state in ("running", "stopping") and not holder(folder / LOCK):
        found = replace(found, state="dead")
    if found.state in ("dead", "interrupted", "broken"):
        found = replace(found, steps=[_at_rest(step) for step in found.steps])
    return found


def _at_rest(step: StepStatus) -> StepStatus:
    """Return the state of a step whose run has ended."""
    if step.state != "running":
        return step
    return replace(step, state="waiting", message="was running when the run ended; will continue")


def _step(root: Path, name: str, fields: dict[str, Any]) -> StepStatus:
    place = root / fields["folder"] if "folder" in fields else None
    if fields["state"] == "running" and place is not None:
        fields = {**fields, **(read_progress(place) or {})}
    told = ("state", "done", "total", "what", "message", "waits_for")
    return StepStatus(name, folder=place, **{key: fields[key] for key in told if key in fields})
