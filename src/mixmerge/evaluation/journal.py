"""An append-only file of finished work, so that nothing finished is done or paid for twice."""

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from mixmerge.errors import ResourceError
from mixmerge.files import explained_disk_errors

_SECONDS_AT_RISK = 5.0
"""How much work a power loss may take; a killed process loses nothing that was appended."""
_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class _Finished(Mapping[str, Any]):
    """Values by key. Memory holds keys and places; a value is read when it is asked for."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.places: dict[str, int] = {}

    def __getitem__(self, key: str) -> Any:
        self._stream.seek(self.places[key])
        return json.loads(self._stream.readline())[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def __contains__(self, key: object) -> bool:
        return key in self.places


class Journal:
    """Finished pieces of work by key, one JSON line each; one process at a time.

    A line counts once its newline is written. A process killed while writing leaves a torn last
    line, which the next opening cuts off. Every line stands for itself: should a disk damage one,
    the others still count.
    """

    finished: Mapping[str, Any]
    """Value by key, read from the file when it is asked for."""

    def __init__(self, path: Path) -> None:
        """Open the journal and find what earlier runs finished.

        Raises:
            ResourceError: another process has the journal open, the disk is full, or the folder
                is not writable.
        """
        self._path = path
        self._synced = time.monotonic()
        with explained_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("a+b")
            try:
                self._lock()
                self.finished = self._finished = _Finished(self._stream)
                self._end = self._read()
            except BaseException:
                self._stream.close()
                raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResourceError(
                f"{self._path}: another process is writing this journal. Wait until it has "
                "finished; its answers are then yours too."
            ) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS_HERE:  # some network file systems
                raise

    def _read(self) -> int:
        self._stream.seek(0)
        place = 0
        for line in self._stream:
            if not line.endswith(b"\n"):
                self._stream.truncate(place)
                break
            key = _key(line)
            if key is not None:
                self._finished.places[key] = place
            place += len(line)
        return place

    def append(self, key: str, value: Any) -> None:
        """Record a finished piece; it survives the process from the moment this returns.

        Raises:
            ResourceError: the disk is full.
        """
        line = json.dumps([key, value], ensure_ascii=False).encode() + b"\n"
        with explained_disk_errors(self._path):
            try:
                self._stream.write(line)
                self._stream.flush()
            except OSError:
                # Half a line would swallow the next one, should there be space again.
                os.ftruncate(self._stream.fileno(), self._end)
                raise
            if time.monotonic() - self._synced > _SECONDS_AT_RISK:
                self._sync()
        self._finished.places[key] = self._end
        self._end += len(line)

    def _sync(self) -> None:
        os.fsync(self._stream.fileno())
        self._synced = time.monotonic()

    def close(self) -> None:
        """Flush to the disk and close; the next process may open it."""
        with explained_disk_errors(self._path):
            self._stream.flush()
            self._sync()
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _key(line: bytes) -> str | None:
    try:
        key, _ = json.loads(line)
    except (ValueError, TypeError):  # no JSON, or no pair
        return None
    return key if isinstance(key, str) else None
