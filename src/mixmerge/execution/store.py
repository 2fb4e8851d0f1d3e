"""A run folder: one folder per step, ``<kind>/<name>-<8 hex>/``, and what is known about each.

``step.json`` says what is asked, ``record.json`` (written last) what happened. No record: not done.
Paths between steps are relative, so a run folder can be moved or copied.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from mixmerge.durable import append_if_possible, now, read_log
from mixmerge.errors import SpecError
from mixmerge.execution.step import Step, Task
from mixmerge.files import PARTIAL, read_json, write_json
from mixmerge.fingerprint import file_fingerprint, fingerprint, folder_fingerprint

STEP = "step.json"
RECORD = "record.json"
FAILURE = "failure.json"
PROGRESS = "progress.json"
LOG = "log.txt"
LOCK = "lock"
JOURNAL = "journal.ndjson"
"""What happened. Not ``.jsonl``: those files of a step are rows of data."""
JOB = "job.json"
"""Where a cluster's queue has the step."""
BOOKKEEPING = frozenset({STEP, RECORD, FAILURE, PROGRESS, LOG, LOCK, JOB, JOURNAL})
"""Files of a step's folder that are no output of it."""
_HASHES = "cache/hashes.jsonl"


class Store:
    """The steps of one run folder, which is created when the first step is placed in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def key(self, step: Step, parents: Mapping[str, str]) -> str:
        """Return a step's identity: 64 hexadecimal digits.

        ``parents`` has what each input step (by id) passes on: the digest of its output for a step
        that is `Step.by_output`, else its key.

        Raises:
            SpecError: a file that the step names does not exist.
        """
        check_files(step)
        return fingerprint(
            {
                "kind": step.kind,
                "version": step.version,
                "settings": dict(step.settings),
                "inputs": {role: parents[parent] for role, parent in step.inputs.items()},
                "files": {role: self._content(Path(path)) for role, path in step.files.items()},
            }
        )

    def folder(self, step: Step, key: str) -> Path:
        """Return where the step's folder is, or will be."""
        return self.root / step.kind / f"{step.name}-{key[:8]}"

    def record(self, step: Step, key: str) -> dict[str, Any] | None:
        """Return the record of a finished step, or None when it is not done."""
        return read_record(self.folder(step, key), key)

    def place(self, step: Step, key: str, parents: Mapping[str, Path]) -> Path:
        """Write ``step.json`` into the step's folder, given those of its inputs; return it."""
        folder = self.folder(step, key)
        (folder / FAILURE).unlink(missing_ok=True)
        paths = {role: parents[parent] for role, parent in step.inputs.items()}
        asked = {
            "kind": step.kind,
            "name": step.name,
            "version": step.version,
            "key": key,
            "settings": dict(step.settings),
            "inputs": {role: str(path.relative_to(self.root)) for role, path in paths.items()},
            "files": {role: str(Path(path).absolute()) for role, path in step.files.items()},
            "placement": dict(step.placement),
            "needs": asdict(step.needs),
        }
        write_json(folder / STEP, asked)
        return folder

    def _content(self, path: Path) -> str:
        """Hash a file or folder, remembering the answer as long as sizes and times are the same."""
        name, state = str(path.absolute()), _state(path)
        known, digest = self._hashes.get(name, ("", ""))
        if known == state:
            return digest
        digest = folder_fingerprint(path) if path.is_dir() else file_fingerprint(path)
        self._hashes[name] = (state, digest)
        # Only a shortcut: a run folder that cannot be written to can still be planned.
        append_if_possible(self.root / _HASHES, [name, state, digest])
        return digest

    @cached_property
    def _hashes(self) -> dict[str, tuple[str, str]]:
        hashes = {}
        for line in read_log(self.root / _HASHES):
            with contextlib.suppress(ValueError, TypeError):  # not a line of ours
                name, state, digest = line
                hashes[name] = (state, digest)
        return hashes


def check_files(step: Step) -> None:
    """Check that the files outside the run that a step names are there.

    Raises:
        SpecError: one is not; the message has the step and the path.
    """
    for role, path in step.files.items():
        if not Path(path).exists():
            raise SpecError(f"{step.id}: {path} does not exist; check the path (for `{role}`).")


def _state(path: Path) -> str:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    stats = [(file, file.stat()) for file in files]
    # The time of change, unlike that of modification, cannot be set back by whoever copies.
    seen = [[str(f), s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns] for f, s in stats]
    return fingerprint(seen)


def read_record(folder: Path, key: str) -> dict[str, Any] | None:
    """Return a folder's record if it is that of the step with this key, and its outputs are there.

    A step whose outputs were deleted by hand, or lost with the power, is not done.
    """
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record.get("key") != key:
            return None
        sizes = record["contents"].items()
        there = all((folder / name).stat().st_size == size for name, size in sizes)
        there = there and all(Path(path).exists() for path in record.get("outside", ()))
    except (OSError, ValueError, KeyError):
        return None
    return record if there else None


def read_progress(folder: Path) -> dict[str, Any] | None:
    """Read how far a running step is; None when it has not said, or has just ended."""
    try:
        progress: dict[str, Any] = json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return progress


def note(folder: Path, event: str, /, **facts: Any) -> None:
    """Append an event, with its time (UTC), to the journal of a run or a step."""
    append_if_possible(folder / JOURNAL, {"time": now(), "event": event, **facts})


def read_task(folder: Path) -> tuple[Task, str]:
    """Read back the task that `Store.place` wrote, and its key.

    Raises:
        SpecError: there is no ``step.json``, or it is not JSON.
    """
    asked = read_json(folder / STEP)
    root = folder.absolute().parent.parent
    task = Task(
        kind=asked["kind"],
        name=asked["name"],
        settings=asked["settings"],
        inputs={role: root / path for role, path in asked["inputs"].items()},
        files={role: Path(path) for role, path in asked["files"].items()},
        placement=asked["placement"],
        folder=folder.absolute(),
        cache=root / "cache",
    )
    return task, asked["key"]


def output_files(folder: Path) -> list[Path]:
    """Return the files that a step produced, bookkeeping and unfinished files left out."""
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name in BOOKKEEPING or path.suffix == PARTIAL:
            continue
        found += [p for p in sorted(path.rglob("*")) if p.is_file()] if path.is_dir() else [path]
    return found


def output_digest(folder: Path) -> str:
    """Return the fingerprint of what a step produced: names and contents of its files."""
    files = output_files(folder)
    return fingerprint({str(file.relative_to(folder)): file_fingerprint(file) for file in files})
