"""``status.json``: how a run stands, for people and for other tools, while it runs and after.

The driver rewrites the file at most twice a second, always whole. The schema::

    {"schema": 1, "state": "running" | "stopping" | "done" | "failed" | "interrupted" | "broken",
     "owner": {"pid", "host", "command", "since"}, "updated": UTC,
     "steps": {ID: {"state": "waiting" | "running" | "done" | "failed" | "blocked",
                    "folder", "reused", "seconds", "attempts", "done", "total", "what", "message"}}}

Fields of a step that are not known are left out.
"""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixmerge.durable import Owner, held, now, this_process
from mixmerge.errors import SpecError
from mixmerge.execution.listener import End, Unheard
from mixmerge.execution.step import Step
from mixmerge.execution.store import LOCK, note, read_progress
from mixmerge.files import PARTIAL, read_json

STATUS = "status.json"
_EVERY_SECONDS = 0.5


class StatusFile(Unheard):
    """Keeps ``status.json`` of a run, and the run's journal."""

    def __init__(self, root: Path, steps: Iterable[Step]) -> None:
        """Begin the files in the run folder ``root``."""
        self._root = root
        self._steps: dict[str, dict[str, Any]] = {step.id: {"state": "waiting"} for step in steps}
        self._status = {"schema": 1, "state": "running", "owner": asdict(this_process())}
        self._written = -_EVERY_SECONDS
        self._write()

    def reused(self, step: Step, record: dict[str, Any]) -> None:
        """Note a step that was done before."""
        self._set(step, {"state": "done", "reused": True, "seconds": record.get("seconds")})

    def started(self, step: Step, folder: Path) -> None:
        """Note a step that runs."""
        attempts = self._steps[step.id].get("attempts", 0) + 1
        place = str(folder.relative_to(self._root))
        self._set(step, {"state": "running", "folder": place, "attempts": attempts})
        note(self._root, "started", step=step.id, folder=place)

    def progressed(self, step: Step, done: float, total: float, what: str) -> None:
        """Note how far a step is."""
        self._set(step, {**self._steps[step.id], "done": done, "total": total, "what": what})

    def finished(self, step: Step, record: dict[str, Any]) -> None:
        """Note a finished step."""
        known, seconds = self._steps[step.id], record.get("seconds")
        fields = {"state": "done", "reused": False, "seconds": seconds}
        fields |= {name: known[name] for name in ("folder", "attempts") if name in known}
        self._set(step, fields)
        note(self._root, "finished", step=step.id, seconds=seconds)

    def retried(self, step: Step, folder: Path, message: str) -> None:  # noqa: ARG002
        """Note a step that waits for another attempt."""
        known = self._steps[step.id]
        self._set(step, {**known, "state": "waiting", "message": message})
        note(self._root, "retried", step=step.id, message=message)

    def failed(self, step: Step, folder: Path, message: str) -> None:
        """Note a failed step."""
        place = str(folder.relative_to(self._root))
        self._set(step, {"state": "failed", "folder": place, "message": message})
        note(self._root, "failed", step=step.id, message=message)

    def blocked(self, step: Step, by: str) -> None:
        """Note a step that cannot run."""
        self._set(step, {"state": "blocked", "message": f"waits for {by}"})

    def stopping(self, running: int) -> None:
        """Note that nothing is started any more."""
        self._status["state"] = "stopping"
        self._write()
        note(self._root, "stopping", running=running)

    def ended(self, end: End) -> None:
        """Write the last state."""
        self._status["state"] = end
        self._write()
        note(self._root, "ended", state=end)

    def _set(self, step: Step, fields: dict[str, Any]) -> None:
        self._steps[step.id] = fields
        if time.monotonic() - self._written >= _EVERY_SECONDS:
            self._write()

    def _write(self) -> None:
        content = {**self._status, "updated": now(), "steps": self._steps}
        partial = self._root / (STATUS + PARTIAL)
        # Not flushed to the disk: what counts is in the records. A full disk stops no run here.
        with contextlib.suppress(OSError):
            partial.write_text(json.dumps(content), encoding="utf-8")
            partial.replace(self._root / STATUS)
        self._written = time.monotonic()


@dataclass(frozen=True)
class StepStatus:
    """How one step of a run stands."""

    step: str
    state: str
    """``waiting``, ``running``, ``done``, ``failed`` or ``blocked``."""
    folder: Path | None
    done: float | None
    """Of `total`, for a running step that has said so."""
    total: float | None
    what: str
    """What a running step does."""
    message: str
    """Why a step failed, is tried again, or cannot run."""


@dataclass(frozen=True)
class RunStatus:
    """How a run stands."""

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


def status(folder: Path) -> RunStatus:
    """Say how a run stands: live, finished or dead; reads files only.

    Args:
        folder: The run folder.

    Raises:
        SpecError: nothing was ever run in the folder.
    """
    if not (folder / STATUS).is_file():
        raise SpecError(f"{folder}: no {STATUS}; give the folder of a `mixmerge run` or `demo`.")
    read = read_json(folder / STATUS)
    state = read["state"]
    if state in ("running", "stopping") and not held(folder / LOCK):
        state = "dead"
    steps = [_step(folder, name, fields) for name, fields in read["steps"].items()]
    return RunStatus(state, Owner(**read["owner"]), read["updated"], steps)


def _step(root: Path, name: str, fields: dict[str, Any]) -> StepStatus:
    place = root / fields["folder"] if "folder" in fields else None
    if fields["state"] == "running" and place is not None:
        fields = {**fields, **(read_progress(place) or {})}
    return StepStatus(
        step=name,
        state=fields["state"],
        folder=place,
        done=fields.get("done"),
        total=fields.get("total"),
        what=fields.get("what", ""),
        message=fields.get("message", ""),
    )
