"""A run folder: one folder per step, ``<kind>/<name>-<8 hex>/``, and its bookkeeping.

``step.json`` has the step's settings, ``record.json`` (written last) its result; a step without a
record is not done. Paths between steps are relative, so a run folder can be moved or copied.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

from mixmerge.durable import append_if_possible, now, read_log
from mixmerge.errors import SpecError
from mixmerge.execution.step import Step, Task
from mixmerge.files import (
    PARTIAL,
    check_plain,
    explained_disk_errors,
    read_object,
    write_json,
)
from mixmerge.fingerprint import file_fingerprint, fingerprint, folder_fingerprint, state_of

STEP = "step.json"
RECORD = "record.json"
FAILURE = "failure.json"
PROGRESS = "progress.json"
LOG = "log.txt"
ATTEMPT = "=== attempt"
"""Start of the log line that begins an attempt."""
LOCK = "lock"
JOURNAL = "journal.ndjson"
"""Events. Not ``.jsonl``, which steps use for rows of data."""
JOB = "job.json"
"""The step's job in a cluster's queue."""
ADOPTED = "adopted.json"
"""In the folder of an adopted step: its identity if it were run."""
BOOKKEEPING = frozenset({ADOPTED, STEP, RECORD, FAILURE, PROGRESS, LOG, LOCK, JOB, JOURNAL})
"""Files of a step's folder that are not output."""
_ASKED = {"kind", "name", "version", "key", "settings", "inputs", "files", "placement"}
_CLOCK_SECONDS = 3.0
"""Minimum age of a change before its digest is cached: file times have a resolution of up to two
seconds, within which a second change would not be seen."""
_HASHES = "cache/hashes.jsonl"


class Store:
    """The steps of one run folder, which is created when the first step is placed in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def key(self, step: Step, parents: Mapping[str, str]) -> str:
        """Return a step's identity: 64 hexadecimal digits.

        It is a hash of the step's settings, of its inputs, and, if the output was adopted rather
        than made, of that output. ``parents`` has for each input step (by id) the digest of its
        output if it is `Step.by_output`, else its key.

        Raises:
            SpecError: a file that the step names does not exist.
        """
        check_files(step)
        meaning = {
            "kind": step.kind,
            "version": step.version,
            "settings": dict(step.settings),
            "inputs": {role: parents[parent] for role, parent in step.inputs.items()},
            "files": {role: self._content(Path(path)) for role, path in step.files.items()},
        }
        recipe = fingerprint(meaning)
        return self._adopted.get((step.kind, step.name, recipe), recipe)

    def folder(self, step: Step, key: str) -> Path:
        """Return the path of the step's folder."""
        return self.root / step.kind / f"{step.name}-{key[:8]}"

    def record(self, step: Step, key: str) -> dict[str, Any] | None:
        """Return the record of a finished step, or None if it is not done."""
        return read_record(self.folder(step, key), key, step.files.values())

    def place(
        self, step: Step, key: str, parents: Mapping[str, Path], then: Sequence[Path] = ()
    ) -> Path:
        """Write ``step.json`` into the step's folder, given those of its inputs; return the folder.

        ``then`` are the folders of steps that the same process runs after it.

        Raises:
            ResourceError: the disk is full, or the folder has something else in place of a file.
        """
        folder = self.folder(step, key)
        for name in (LOCK, LOG):
            check_plain(folder / name)
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
            "then": [str(path.relative_to(self.root)) for path in then],
        }
        write_json(folder / STEP, asked)
        return folder

    def _content(self, path: Path) -> str:
        """Hash a file or folder; the result is cached while sizes and times stay the same."""
        name = str(path.absolute())
        state, changed = state_of(path)
        known, digest = self._hashes.get(name, ("", ""))
        if known == state:
            return digest
        digest = folder_fingerprint(path) if path.is_dir() else file_fingerprint(path)
        if time.time() - changed > _CLOCK_SECONDS:
            self._hashes[name] = (state, digest)
            # Only a cache: a read-only run folder can still be planned.
            append_if_possible(self.root / _HASHES, [name, state, digest])
        return digest

    @cached_property
    def _adopted(self) -> dict[tuple[str, str, str], str]:
        """Identities of adopted steps, by kind, name and the identity they would have if run."""
        found = {}
        marks = sorted(self.root.glob(f"*/*/{ADOPTED}"), key=lambda mark: mark.stat().st_mtime_ns)
        for mark in marks:
            asked, recipe = read_asked(mark.parent), adopted_as(mark.parent)
            if asked and recipe and read_record(mark.parent, asked["key"]):
                found[asked["kind"], asked["name"], recipe] = str(asked["key"])
        return found

    @cached_property
    def _hashes(self) -> dict[str, tuple[str, str]]:
        hashes = {}
        for line in read_log(self.root / _HASHES):
            with contextlib.suppress(ValueError, TypeError):  # not our line
                name, state, digest = line
                hashes[name] = (state, digest)
        return hashes


def check_files(step: Step) -> None:
    """Check that the outside files of a step exist.

    Raises:
        SpecError: one does not; the message has the step and the path.
    """
    for role, path in step.files.items():
        try:
            there = Path(path).exists()
        except OSError as error:  # a folder above it is closed, or the name is too long
            raise SpecError(f"{step.id}: {path} cannot be read ({error.strerror}).") from error
        if not there:
            raise SpecError(f"{step.id}: {path} does not exist; check the path (for `{role}`).")


def read_record(folder: Path, key: str, files: Iterable[Path | str] = ()) -> dict[str, Any] | None:
    """Return a folder's record if it has this key and its outputs exist.

    A step is not done if its outputs were deleted, or lost with the power, or if an output points
    outside to a place other than the ``files`` that the step names now.
    """
    record = read_object(folder / RECORD)
    try:
        if record["key"] != key:
            return None
        if not (isinstance(record["output"], str) and isinstance(record["facts"], dict)):
            return None
        sizes = record["contents"].items()
        there = all((folder / name).stat().st_size == size for name, size in sizes)
        outside = {Path(path) for path in record.get("outside", ())}
        there = there and all(path.exists() for path in outside)
        asked = {Path(path).absolute() for path in files}
        there = there and (not asked or outside <= asked)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # damaged
        return None
    return record if there else None


def read_progress(folder: Path) -> dict[str, Any] | None:
    """Return a running step's progress, or None if it has reported none."""
    progress = read_object(folder / PROGRESS)
    return progress if progress.keys() >= {"done", "total", "what"} else None


def read_asked(folder: Path) -> dict[str, Any] | None:
    """Return ``step.json`` of a step's folder, or None if it is missing or damaged."""
    asked = read_object(folder / STEP)
    return asked if asked.keys() >= _ASKED else None


def note(folder: Path, event: str, /, **facts: Any) -> None:
    """Append an event with its time (UTC) to the journal of a run or a step."""
    append_if_possible(folder / JOURNAL, {"time": now(), "event": event, **facts})


def read_task(folder: Path) -> tuple[Task, str]:
    """Return the task that `Store.place` wrote, and its key.

    Raises:
        SpecError: there is no ``step.json``, or it is damaged.
    """
    asked = read_asked(folder)
    if not (folder / STEP).exists():
        raise SpecError(f"{folder / STEP}: no such file; give the folder of a step of a run.")
    if asked is None:
        raise SpecError(f"{folder / STEP}: is damaged or incomplete; run the study again.")
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


def followers(folder: Path) -> list[Path]:
    """Return the folders of the steps that the process of a step runs after it."""
    root = folder.absolute().parent.parent
    return [root / path for path in read_object(folder / STEP).get("then", ())]


def log_to(folder: Path) -> None:
    """Send what this process prints from now on to a step's log.

    Raises:
        ResourceError: the disk is full.
    """
    with explained_disk_errors(folder):
        log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(log, stream.fileno())
    os.close(log)


def adopted_key(recipe: str, content: str) -> str:
    """Return the identity of an adopted step: its identity if run, and its output's fingerprint."""
    return fingerprint([recipe, content])


def adopted_as(folder: Path) -> str | None:
    """Return the identity that an adopted step would have if it were run."""
    recipe = read_object(folder / ADOPTED).get("recipe")
    return recipe if isinstance(recipe, str) else None


def output_files(folder: Path) -> list[Path]:
    """Return the files that a step produced, without bookkeeping and partial files."""
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name in BOOKKEEPING or path.suffix == PARTIAL:
            continue
        found += [p for p in sorted(path.rglob("*")) if p.is_file()] if path.is_dir() else [path]
    return found


def output_digest(folder: Path) -> str:
    """Return a fingerprint of the names and contents of the files that a step produced."""
    files = output_files(folder)
    return fingerprint({str(file.relative_to(folder)): file_fingerprint(file) for file in files})
