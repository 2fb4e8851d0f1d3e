"""Running one step in this process: what ``mixmerge step FOLDER`` does, whoever calls it."""

import contextlib
import fcntl
import importlib
import json
import os
import platform
import resource
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

from mixmerge.errors import MixmergeError, ResourceError, SpecError, UserError
from mixmerge.execute.step import Task
from mixmerge.execute.store import (
    FAILURE,
    LOCK,
    PROGRESS,
    RECORD,
    output_digest,
    read_record,
    read_task,
)
from mixmerge.files import PARTIAL, write_json
from mixmerge.progress import Progress

Handler = Callable[[Task, Progress], Mapping[str, Any]]
"""Does the work of one kind of step and returns facts for its record, as plain JSON."""

_PATIENCE_SECONDS = 5.0
_RECORDED = ("mixmerge", "torch", "transformers", "trl", "peft", "datasets", "numpy", "safetensors")


def handlers_from(entry: str) -> Mapping[str, Handler]:
    """Import the handlers named ``module:attribute``."""
    module, _, attribute = entry.partition(":")
    handlers: Mapping[str, Handler] = getattr(importlib.import_module(module), attribute)
    return handlers


def run_step(folder: Path, handlers: Mapping[str, Handler]) -> int:
    """Run the step in a folder unless it is done, and write its record last.

    Returns:
        The exit code: 0 done, 1 a fault of ours, 2 the user must fix something. For 1 and 2 the
        message is in ``failure.json`` and on standard error.

    Raises:
        SpecError: there is no step in the folder.
        ResourceError: another process is running it.
    """
    task, key = read_task(folder)
    if task.kind not in handlers:
        known = ", ".join(sorted(handlers))
        raise SpecError(f"{folder}: unknown kind of step `{task.kind}`; known are {known}.")
    with _only_runner(folder):
        if read_record(folder, key) is not None:
            return 0
        (folder / FAILURE).unlink(missing_ok=True)
        start = time.time()
        try:
            facts = handlers[task.kind](task, _progress_file(folder))
            _write_record(folder, key, task, facts, start)
        except Exception as error:  # noqa: BLE001 - every failure of a step must leave its reason
            return _write_failure(folder, error)
        (folder / PROGRESS).unlink(missing_ok=True)
    return 0


@contextlib.contextmanager
def _only_runner(folder: Path) -> Iterator[None]:
    """Hold the step's lock; the kernel releases it however the process ends."""
    with (folder / LOCK).open("a+") as lock:
        if not _taken(lock):
            lock.seek(0)
            owner = lock.read() or "it has not said who it is"
            raise ResourceError(
                f"{folder}: another process is running this step ({owner}). "
                "Wait for it, or stop it, and run the same command again."
            )
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        yield


def _taken(lock: TextIO) -> bool:
    """Try to take a lock; its last holder may need a moment to die with its driver."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        else:
            return True


def _progress_file(folder: Path, every: float = 0.25) -> Progress:
    """Return a listener that leaves the latest progress in a small file, now and then."""
    last = 0.0

    def listen(done: float, total: float, what: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < every:
            return
        last = now
        partial = folder / (PROGRESS + PARTIAL)
        partial.write_text(json.dumps({"done": done, "total": total, "what": what}))
        partial.replace(folder / PROGRESS)

    return listen


def _write_record(
    folder: Path, key: str, task: Task, facts: Mapping[str, Any], start: float
) -> None:
    write_json(
        folder / RECORD,
        {
            "key": key,
            "kind": task.kind,
            "name": task.name,
            "output": output_digest(folder),
            "facts": dict(facts),
            "started": round(start, 3),
            "seconds": round(time.time() - start, 3),
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            "host": socket.gethostname(),
            "python": platform.python_version(),
            "versions": _versions(),
            "git": _git_commit(),
        },
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in _RECORDED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _git_commit() -> str | None:
    """Return the commit of the source checkout that runs, with ``+`` when it has changes."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return None
    asked = ["git", "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
    try:
        done = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() or None


def _write_failure(folder: Path, error: Exception) -> int:
    """Leave the reason of a failure where the driver finds it; return the exit code."""
    user = isinstance(error, UserError)
    message = str(error) if isinstance(error, MixmergeError) else f"{type(error).__name__}: {error}"
    if not user:
        traceback.print_exc()
    print(message, file=sys.stderr)  # noqa: T201 - the step's log is its standard error
    code = 2 if user else 1
    with contextlib.suppress(ResourceError):  # the disk may be what failed
        write_json(folder / FAILURE, {"code": code, "message": message})
    return code
