"""An append-only file of finished work, so that nothing finished is done or paid for twice."""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mixmerge.files import explained_disk_errors


class Journal:
    """Finished pieces of work by key, one JSON line each.

    A line counts once its newline is written. A process killed while writing leaves a torn last
    line, which the next opening cuts off; everything before it is kept.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal, reading what earlier runs finished.

        Raises:
            ResourceError: the disk is full or the folder is not writable.
        """
        self._path = path
        self.finished: dict[str, Any] = {}
        """Value by key."""
        with explained_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = path.open("a+b")
            self._read()

    def _read(self) -> None:
        self._stream.seek(0)
        whole = 0
        for line in self._stream:
            if not line.endswith(b"\n"):
                break
            try:
                key, value = json.loads(line)
            except ValueError:
                break
            self.finished[key] = value
            whole += len(line)
        # After a damaged line nothing is trusted: what follows it is done again.
        self._stream.truncate(whole)

    def append(self, key: str, value: Any) -> None:
        """Record a finished piece; it survives the process from the moment this returns.

        Raises:
            ResourceError: the disk is full.
        """
        with explained_disk_errors(self._path):
            line = json.dumps([key, value], ensure_ascii=False)
            self._stream.write(line.encode() + b"\n")
            self._stream.flush()
        self.finished[key] = value

    def close(self) -> None:
        """Flush to the disk and close."""
        with explained_disk_errors(self._path):
            self._stream.flush()
            os.fsync(self._stream.fileno())
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
