"""Runs one step in this process: the implementation of ``mixmerge step FOLDER``."""

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
from mixmerge.execution import store
from mixmerge.execution.engine import LOST
from mixmerge.execution.environment import GPUS, RANK_OF_OURS, environment, forget_launcher
from mixmerge.execution.step import Task
from mixmerge.files import PARTIAL, explained_disk_errors, full_disk, is_full_disk, sync, write_json
from mixmerge.progress import Progress, silent

Handler = Callable[[Task, Progress], Mapping[str, Any]]
"""Does one kind of step and returns facts for its record, as plain JSON.

The fact ``outside`` lists paths outside the run that the output refers to: if one is gone, the step
is no longer done. The fact ``content`` is the digest of their content.
"""

_PATIENCE_SECONDS = 20.0
"""To wait for the step of a driver that was just killed, which needs a moment to end."""
_TELL_EVERY_SECONDS = 0.25
_LASTING = (
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
"""OS errors that another attempt would hit again."""


def handlers_from(entry: str) -> Mapping[str, Handler]:
    """Import handlers given as ``module:attribute``."""
    module, _, attribute = entry.partition(":")
    handlers: Mapping[str, Handler] = getattr(importlib.import_module(module), attribute)
    return handlers


def run_group(
    folder: Path, handlers: Mapping[str, Handler], ran_with: Mapping[str, Any] | None = None
) -> int:
    """Run the step in a folder and then, in this process, the other steps of its group.

    Each has its own log and record, and a failure of one does not stop the others.

    Returns:
        The exit code: 75 if any step should be tried again, else that of the first failure. Each
        step's own is in its folder.

    Raises:
        SpecError: there is no step in the folder.
    """
    codes = [run_step(folder, handlers, ran_with)]
    for other in store.followers(folder):
        store.log_to(other)
        codes.append(run_step(other, handlers, ran_with))
    return LOST if LOST in codes else next(filter(None, codes), 0)


def run_step(
    folder: Path, handlers: Mapping[str, Handler], ran_with: Mapping[str, Any] | None = None
) -> int:
    """Run the step in a folder unless it is done, and write its record last.

    Returns:
        The exit code: 0 done, 1 a bug, 2 the user must fix something, 75 a passing fault of the
        machine or the network, or another process is running the step. If it is not 0, the message
        is on standard error and, unless another process is running the step, in ``failure.json``.

    Raises:
        SpecError: there is no step in the folder.
    """
    task, key = store.read_task(folder)
    if task.kind not in handlers:
        known = ", ".join(sorted(handlers))
        raise SpecError(f"{folder}: unknown kind of step `{task.kind}`; known are {known}.")
    if os.environ.get(RANK_OF_OURS) and os.environ["RANK"] != "0":
        return _take_part(folder, key, task, handlers)
    if not os.environ.get(RANK_OF_OURS):
        forget_launcher()
    with ExitStack() as stack:
        try:
            stack.enter_context(claimed(folder / store.LOCK, "step", patience=_PATIENCE_SECONDS))
        except HeldError as error:  # it does the same work; the driver will see its record
            print(error, file=sys.stderr)  # noqa: T201 - the step's log is its standard error
            return LOST
        if store.read_record(folder, key, task.files.values()) is not None:
            return 0
        return _run_alone(folder, key, task, handlers, ran_with)


def _run_alone(
    folder: Path,
    key: str,
    task: Task,
    handlers: Mapping[str, Handler],
    ran_with: Mapping[str, Any] | None,
) -> int:
    """Run a step that this process has locked; return the exit code."""
    (folder / store.FAILURE).unlink(missing_ok=True)
    attempt = 1 + sum(event["event"] == "started" for event in read_log(folder / store.JOURNAL))
    store.note(folder, "started", pid=os.getpid(), attempt=attempt, argv=sys.argv)
    # Errors are shown with the end of the log, from this attempt's first line on.
    print(f"{store.ATTEMPT} {attempt}, {now()}", file=sys.stderr, flush=True)  # noqa: T201
    begun, start = now(), time.monotonic()
    try:
        facts = dict(handlers[task.kind](task, _progress_file(folder)))
        used = [resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        happened = {
            "started": begun,
            "seconds": round(time.monotonic() - start, 3),
            "attempts": attempt,
            "gpus": int(os.environ.get(GPUS, "0")),
            # The highest peak of this process and of its children, not their sum.
            "peak_memory_mb": round(max(each.ru_maxrss for each in used) / 1024, 1),
            "argv": sys.argv,
            **(ran_with or environment()),
        }
        finish(folder, key, task, facts, happened)
    except Exception as error:  # noqa: BLE001 - every failure of a step must leave its reason
        return write_failure(folder, error)
    (folder / store.PROGRESS).unlink(missing_ok=True)
    store.note(folder, "finished", seconds=round(time.monotonic() - start, 3))
    return 0


def _take_part(folder: Path, key: str, task: Task, handlers: Mapping[str, Handler]) -> int:
    """Run a step as one of several ranks; only the first one writes records."""
    # The same check as in the first rank, so that all ranks run or none.
    if store.read_record(folder, key, task.files.values()) is not None:
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

    All outputs are flushed to disk before the record is written, so a power loss cannot leave a
    record without its outputs.

    Raises:
        ResourceError: the disk is full.
    """
    for leftover in [*folder.rglob("*" + PARTIAL)]:
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    outputs = store.output_files(folder)
    with explained_disk_errors(folder):
        inner = {folder / parent for file in outputs for parent in file.relative_to(folder).parents}
        for path in [*outputs, *inner, folder.parent]:
            sync(path)
    record: dict[str, Any] = {
        "key": key,
        "kind": task.kind,
        "name": task.name,
        "output": facts.pop("content", None) or store.output_digest(folder),
        "contents": {str(f.relative_to(folder)): f.stat().st_size for f in outputs},
        "outside": facts.pop("outside", []),
        "facts": facts,
    }
    write_json(folder / store.RECORD, record | dict(happened))


def _progress_file(folder: Path) -> Progress:
    """Return a progress callback that rewrites a small file now and then."""
    last = 0.0

    def listen(done: float, total: float, what: str) -> None:
        nonlocal last
        moment = time.monotonic()
        if moment - last >= _TELL_EVERY_SECONDS:
            last = moment
            show(folder / store.PROGRESS, {"done": done, "total": total, "what": what})

    return listen


def write_failure(folder: Path, error: Exception) -> int:
    """Store the reason of a failure for the driver; return the exit code."""
    if not isinstance(error, MixmergeError) and is_full_disk(error):
        error = full_disk(folder)
    code = _exit_code(error)
    message = str(error) if isinstance(error, MixmergeError) else f"{type(error).__name__}: {error}"
    with suppress(OSError):  # the disk with the log may be what is full
        if not isinstance(error, UserError):
            traceback.print_exception(error)
        print(message, file=sys.stderr)  # noqa: T201 - the step's log is its standard error
    store.note(folder, "failed", code=code, message=message)
    with suppress(ResourceError):  # the disk may be what failed
        write_json(folder / store.FAILURE, {"code": code, "message": message})
    return code


def _exit_code(error: Exception) -> int:
    if isinstance(error, DeviceMemoryError):
        return LOST  # the next attempt does less at once
    if isinstance(error, UserError):
        return 2
    if isinstance(error, OSError) and not isinstance(error, _LASTING):
        return LOST
    return 1
