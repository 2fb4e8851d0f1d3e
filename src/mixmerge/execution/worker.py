"""Running one step in this process: what ``mixmerge step FOLDER`` does, whoever calls it."""

import importlib
import os
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from mixmerge.durable import claimed, now, read_log, show
from mixmerge.errors import (
    DeviceMemoryError,
    HeldError,
    MixmergeError,
    ResourceError,
    SpecError,
    UserError,
)
from mixmerge.execution.engine import LOST
from mixmerge.execution.environment import RANK_OF_OURS, environment, forget_launcher
from mixmerge.execution.step import Task
from mixmerge.execution.store import (
    ATTEMPT,
    FAILURE,
    JOURNAL,
    LOCK,
    PROGRESS,
    RECORD,
    note,
    output_digest,
    output_files,
    read_record,
    read_task,
)
from mixmerge.files import PARTIAL, explained_disk_errors, full_disk, is_full_disk, sync, write_json
from mixmerge.progress import Progress, silent

Handler = Callable[[Task, Progress], Mapping[str, Any]]
"""Does the work of one kind of step and returns facts for its record, as plain JSON.

The fact ``outside`` lists paths outside the run that the output points to: when one is gone, the
step is no longer done. The fact ``content`` is the digest of what is there.
"""

_PATIENCE_SECONDS = 20.0
"""For the process of a driver that was killed: it ends as soon as Python lets it."""
_TELL_EVERY_SECONDS = 0.25
_LASTING = (
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
"""Errors of the system that another attempt would meet again."""


def handlers_from(entry: str) -> Mapping[str, Handler]:
    """Import the handlers named ``module:attribute``."""
    module, _, attribute = entry.partition(":")
    handlers: Mapping[str, Handler] = getattr(importlib.import_module(module), attribute)
    return handlers


def run_step(
    folder: Path, handlers: Mapping[str, Handler], ran_with: Mapping[str, Any] | None = None
) -> int:
    """Run the step in a folder unless it is done, and write its record last.

    Returns:
        The exit code: 0 done, 1 a fault of ours, 2 the user must fix something, 75 a passing fault
        of the machine or the network, or another process is running the step. When it is not 0,
        the message is on standard error and, unless another process is at work, in
        ``failure.json``.

    Raises:
        SpecError: there is no step in the folder.
    """
    task, key = read_task(folder)
    if task.kind not in handlers:
        known = ", ".join(sorted(handlers))
        raise SpecError(f"{folder}: unknown kind of step `{task.kind}`; known are {known}.")
    if os.environ.get(RANK_OF_OURS) and os.environ["RANK"] != "0":
        return _take_part(folder, key, task, handlers)
    if not os.environ.get(RANK_OF_OURS):
        forget_launcher()
    with ExitStack() as stack:
        try:
            stack.enter_context(claimed(folder / LOCK, "step", patience=_PATIENCE_SECONDS))
        except HeldError as error:  # what it does is what we would do: that it is done will be seen
            print(error, file=sys.stderr)  # noqa: T201 - the step's log is its standard error
            return LOST
        if read_record(folder, key, task.files.values()) is not None:
            return 0
        return _run_alone(folder, key, task, handlers, ran_with)


def _run_alone(
    folder: Path,
    key: str,
    task: Task,
    handlers: Mapping[str, Handler],
    ran_with: Mapping[str, Any] | None,
) -> int:
    """Run a step whose lock is ours; return the exit code."""
    (folder / FAILURE).unlink(missing_ok=True)
    attempt = 1 + sum(event["event"] == "started" for event in read_log(folder / JOURNAL))
    note(folder, "started", pid=os.getpid(), attempt=attempt, argv=sys.argv)
    # An error is shown with the end of the log: of this attempt, never of an earlier one.
    print(f"{ATTEMPT} {attempt}, {now()}", file=sys.stderr, flush=True)  # noqa: T201
    begun, start = now(), time.monotonic()
    try:
        facts = dict(handlers[task.kind](task, _progress_file(folder)))
        used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        happened = {
            "started": begun,
            "seconds": round(time.monotonic() - start, 3),
            "attempts": attempt,
            # The most that this process, or one that it started, has held at once.
            "peak_memory_mb": round(max(each.ru_maxrss for each in used) / 1024, 1),
            "argv": sys.argv,
            **(ran_with or environment()),
        }
        finish(folder, key, task, facts, happened)
    except Exception as error:  # noqa: BLE001 - every failure of a step must leave its reason
        return write_failure(folder, error)
    (folder / PROGRESS).unlink(missing_ok=True)
    note(folder, "finished", seconds=round(time.monotonic() - start, 3))
    return 0


def _take_part(folder: Path, key: str, task: Task, handlers: Mapping[str, Handler]) -> int:
    """Work on a step as one of several ranks; the first one keeps its books."""
    # As the first rank asks: both begin, or neither.
    if read_record(folder, key, task.files.values()) is not None:
        return 0
    try:
        handlers[task.kind](task, silent)
    except Exception as error:  # noqa: BLE001 - as for the first rank
        traceback.print_exception(error)
        return _exit_code(error)
    return 0


def finish(
    folder: Path, key: str, task: Task, facts: dict[str, Any], happened: Mapping[str, Any]
) -> None:
    """Write the record of a step whose outputs are complete: from now on it is done.

    The outputs reach the disk before the record does, whatever wrote them, so a power loss cannot
    leave a record without its outputs.

    Raises:
        ResourceError: the disk is full.
    """
    for leftover in [*folder.rglob("*" + PARTIAL)]:
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    outputs = output_files(folder)
    with explained_disk_errors(folder):
        inner = {folder / parent for file in outputs for parent in file.relative_to(folder).parents}
        for path in [*outputs, *inner, folder.parent]:
            sync(path)
    record: dict[str, Any] = {
        "key": key,
        "kind": task.kind,
        "name": task.name,
        "output": facts.pop("content", None) or output_digest(folder),
        "contents": {str(f.relative_to(folder)): f.stat().st_size for f in outputs},
        "outside": facts.pop("outside", []),
        "facts": facts,
    }
    write_json(folder / RECORD, record | dict(happened))


def _progress_file(folder: Path) -> Progress:
    """Return a listener that leaves the latest progress in a small file, now and then."""
    last = 0.0

    def listen(done: float, total: float, what: str) -> None:
        nonlocal last
        moment = time.monotonic()
        if moment - last >= _TELL_EVERY_SECONDS:
            last = moment
            show(folder / PROGRESS, {"done": done, "total": total, "what": what})

    return listen


def write_failure(folder: Path, error: Exception) -> int:
    """Leave the reason of a failure where the driver finds it; return the exit code."""
    if not isinstance(error, MixmergeError) and is_full_disk(error):
        error = full_disk(folder)
    code = _exit_code(error)
    message = str(error) if isinstance(error, MixmergeError) else f"{type(error).__name__}: {error}"
    with suppress(OSError):  # the disk with the log may be what is full
        if not isinstance(error, UserError):
            traceback.print_exception(error)
        print(message, file=sys.stderr)  # noqa: T201 - the step's log is its standard error
    note(folder, "failed", code=code, message=message)
    with suppress(ResourceError):  # the disk may be what failed
        write_json(folder / FAILURE, {"code": code, "message": message})
    return code


def _exit_code(error: Exception) -> int:
    if isinstance(error, DeviceMemoryError):
        return LOST  # the next attempt does less at once
    if isinstance(error, UserError):
        return 2
    if isinstance(error, OSError) and not isinstance(error, _LASTING):
        return LOST
    return 1
