"""One process at a time: a lock on a run or on a step, with the name of who holds it.

The kernel holds the lock and releases it however its holder ends, so a lock is never stale. The
name in the file may be: it is then that of a process which ended without saying so.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from mixmerge.errors import ResourceError
from mixmerge.files import explained_disk_errors

_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Owner:
    """The process that holds a lock, or that held it when it ended."""

    pid: int
    host: str
    command: str
    since: str
    """UTC, ISO 8601; for people only, since clocks jump."""

    def __str__(self) -> str:
        """Name the process so that a person can find it."""
        return f"process {self.pid} on {self.host}, since {self.since}: {self.command}"


def this_process() -> Owner:
    """Return the running process as an owner."""
    program = Path(sys.argv[0])
    name = "mixmerge" if program.name in ("mixmerge", "__main__.py") else str(program)
    return Owner(os.getpid(), socket.gethostname(), shlex.join([name, *sys.argv[1:]]), now())


def now() -> str:
    """Return the time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@contextlib.contextmanager
def claimed(lock: Path, what: str, *, patience: float) -> Iterator[Owner | None]:
    """Hold a lock; yield the last holder if it ended without releasing it, else None.

    Args:
        lock: The file; its folder must exist.
        what: What is locked, for the message.
        patience: Seconds to wait for the holder: one that was killed needs a moment to die.

    Raises:
        ResourceError: another process holds it; the message says which.
    """
    with explained_disk_errors(lock):
        stream = lock.open("a+", encoding="utf-8")
    with stream:
        _take(stream, lock, what, patience)
        last = _read(stream)
        _write(stream, json.dumps(asdict(this_process())))
        yield last
        _write(stream, "")


def held(lock: Path) -> bool:
    """Say whether a process holds a lock now, also one that could not write its name."""
    try:
        with lock.open(encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def holder(lock: Path) -> Owner | None:
    """Return who holds a lock now; None if nobody does, or if the holder has left no name."""
    if not held(lock):
        return None
    with lock.open(encoding="utf-8") as stream:
        return _read(stream)


def _take(stream: TextIO, lock: Path, what: str, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                owner = _read(stream) or "it has not said who it is"
                raise ResourceError(
                    f"{lock.parent}: another process is running this {what} ({owner}). "
                    "Wait for it, or stop it, and run the same command again."
                ) from None
            time.sleep(0.1)
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
            log.warning("%s: this file system has no locks; start one process only.", lock.parent)
            return
        else:
            return


def _read(stream: TextIO) -> Owner | None:
    stream.seek(0)
    try:
        return Owner(**json.loads(stream.read()))
    except (ValueError, TypeError):  # empty, or its writer was killed in the middle
        return None


def _write(stream: TextIO, text: str) -> None:
    with contextlib.suppress(OSError):  # the name is a courtesy; the lock holds on a full disk too
        stream.truncate(0)
        stream.write(text)
        stream.flush()
