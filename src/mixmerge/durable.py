"""Crash safety: locks that end with their holder, and logs that lose no complete line.

The kernel holds a lock and releases it however its holder ends, so locks are never stale; on Linux
this is true of NFS too. Logs are append-only JSON Lines: a line counts once its newline is written,
and what a killed writer left after the last newline is cut off. Each line is ``["CRC-32", VALUE]``,
since a flipped bit can turn a number into another one that is just as valid JSON.
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
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any

from mixmerge.errors import HeldError, ResourceError
from mixmerge.files import PARTIAL, check_plain, explained_disk_errors

_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)
"""Errors of file systems without locks; NFS gives the last one for a folder."""
_LONGEST_POLL_SECONDS = 0.1
_SECONDS_AT_RISK = 5.0
"""Most work lost in a power failure; a killed process loses nothing that was appended."""

log = logging.getLogger(__name__)


def take_lock(handle: int, path: Path, *, patience: float = 0.0) -> bool:
    """Lock an open file or folder until it is closed; return whether that succeeded.

    ``patience`` is how many seconds to wait for the holder: one that was killed needs a moment to
    end. ``path`` is for the warning if the file system has no locks.
    """
    deadline, pause = time.monotonic() + patience, 0.001
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_POLL_SECONDS)
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:
                raise
            _warn_of_no_locks(path)
            return True
        else:
            return True


@cache
def _warn_of_no_locks(path: Path) -> None:
    log.warning("%s: this file system has no locks; start one process only.", path)


@dataclass(frozen=True)
class Owner:
    """The process that holds a lock, or held it when it ended."""

    pid: int
    host: str
    command: str
    since: str
    """UTC, ISO 8601; only for people, since clocks jump."""

    def __str__(self) -> str:
        """Describe the process so that a person can find it."""
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
    """Hold a lock file containing this process's name.

    Yields:
        The last holder if it ended without releasing the lock, else None.

    Raises:
        HeldError: another process holds it; the message says which.
        ResourceError: the folder is not writable, or the lock is not a regular file.
    """
    check_plain(lock)
    with explained_disk_errors(lock):
        # Unbuffered: on a full disk a buffer would fail again when it is closed.
        stream = lock.open("a+b", buffering=0)
    with stream:
        if not take_lock(stream.fileno(), lock.parent, patience=patience):
            raise HeldError(
                f"{lock.parent}: another process is running this {what} ({_name(stream)}). "
                "Wait for it, or stop it, and run the same command again."
            )
        last = _read(stream)
        _write(stream, json.dumps(asdict(this_process())).encode())
        yield last
        _write(stream, b"")


def holder(lock: Path) -> str:
    """Return which process holds a lock now, named or not; "" if none does."""
    try:
        check_plain(lock)
        with lock.open("rb", buffering=0) as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _name(stream)
    except (OSError, ResourceError):
        pass
    return ""


def _name(stream: FileIO) -> str:
    return str(_read(stream) or "it has not written its name")


def _read(stream: FileIO) -> Owner | None:
    stream.seek(0)
    try:
        return Owner(**json.loads(stream.read()))
    except (ValueError, TypeError):  # empty, or its writer was killed
        return None


def _write(stream: FileIO, text: bytes) -> None:
    with contextlib.suppress(OSError):  # the lock does not need the name
        stream.truncate(0)
        stream.write(text)


def line_of(value: Any) -> bytes:
    """Return plain JSON as a line of a log; lone surrogates become question marks."""
    return _with_checksum(json.dumps(value, ensure_ascii=False).encode(errors="replace"))


def value_of(line: bytes) -> Any:
    """Return the value of a line of a log.

    Raises:
        ValueError: the line is damaged, or is not a line of a log.
    """
    text = line[len(_with_checksum(b"")) - 2 : -2]
    if line != _with_checksum(text):
        raise ValueError("the line is damaged: its checksum does not match")
    return json.loads(text)


def _with_checksum(text: bytes) -> bytes:
    return b'["%08x", %b]\n' % (zlib.crc32(text), text)


class Log:
    """JSON values, one per line, in a file that this process may write to.

    Processes that share a log hold the lock while they read new lines and append.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, creating it if it is missing.

        Raises:
            ResourceError: the disk is full, the folder is not writable, or this is not a file.
        """
        self.path = path
        self._end = 0
        self._synced = time.monotonic()
        check_plain(path)
        with explained_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("a+b")

    def lock(self, *, patience: float = 0.0) -> bool:
        """Lock the file until `unlock` or `close`; see `take_lock`."""
        return take_lock(self._stream.fileno(), self.path, patience=patience)

    def unlock(self) -> None:
        """Release the lock."""
        with contextlib.suppress(OSError):  # where there are no locks
            fcntl.flock(self._stream, fcntl.LOCK_UN)

    def new_lines(self) -> Iterator[tuple[int, bytes]]:
        """Cut off a partial last line; yield position and bytes of each line since the last call.

        If the caller raises at a line, the next call yields that line again.
        """
        self._cut_torn_line()
        self._stream.seek(self._end)
        for line in self._stream:
            yield self._end, line
            self._end += len(line)

    def value(self, place: int) -> Any:
        """Return the value of the line at a position."""
        self._stream.seek(place)
        return value_of(self._stream.readline())

    def append(self, value: Any) -> int:
        """Write a line, which then survives the process; return its position.

        Raises:
            ResourceError: the disk is full; the line was not written.
        """
        line = memoryview(line_of(value))
        handle = self._stream.fileno()
        with explained_disk_errors(self.path):
            place = self._cut_torn_line()
            self._end = place + len(line)
            try:
                while line:
                    line = line[os.write(handle, line) :]
            except OSError:
                # The next line would be appended to half a line.
                os.ftruncate(handle, place)
                self._end = place
                raise
            if time.monotonic() - self._synced > _SECONDS_AT_RISK:
                self.sync()
        return place

    def _cut_torn_line(self) -> int:
        """Cut off what follows the last newline; return the new end."""
        handle = self._stream.fileno()
        end = os.fstat(handle).st_size
        if end and os.pread(handle, 1, end - 1) != b"\n":
            self._stream.seek(0)
            end = sum(len(line) for line in self._stream if line.endswith(b"\n"))
            self._stream.truncate(end)
        return end

    def sync(self) -> None:
        """Flush the file to disk."""
        with explained_disk_errors(self.path):
            os.fsync(self._stream.fileno())
        self._synced = time.monotonic()

    def close(self) -> None:
        """Close the file, which releases the lock."""
        self._stream.close()


def show(path: Path, value: Any) -> None:
    """Atomically replace a JSON file of current status, if the disk allows it.

    It is not flushed, since nothing depends on it.
    """
    partial = path.with_name(path.name + PARTIAL)
    with contextlib.suppress(OSError):
        partial.write_text(json.dumps(value), encoding="utf-8")
        partial.replace(path)


def append_if_possible(path: Path, value: Any) -> None:
    """Append to a log that nothing depends on, ignoring a full disk."""
    with contextlib.suppress(OSError, ResourceError), contextlib.closing(Log(path)) as opened:
        opened.append(value)


def read_log(path: Path, parse: Callable[[bytes], Any] = value_of) -> Iterator[Any]:
    """Yield the values of a log that others may write, skipping damaged and partial lines.

    A missing or unreadable log has no values. ``parse`` reads lines of a file that is not a `Log`;
    it raises ValueError at a damaged one.
    """
    try:
        content = path.read_bytes() if path.is_file() else b""
    except OSError:
        return
    for line in content.split(b"\n")[:-1]:  # what follows the last newline is incomplete
        with contextlib.suppress(ValueError):
            yield parse(line + b"\n")
