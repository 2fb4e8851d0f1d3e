"""Finished work by key, so that nothing finished is done or paid for twice."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mixmerge.durable import Log
from mixmerge.errors import ResourceError


class _Finished(Mapping[str, Any]):
    """Values by key. Memory holds keys and places; a value is read when it is asked for."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.places: dict[str, int] = {}

    def __getitem__(self, key: str) -> Any:
        return self._log.value(self.places[key])[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def __contains__(self, key: object) -> bool:
        return key in self.places


class Journal:
    """Finished pieces of work by key, one line of a log each; one process at a time.

    Every line stands for itself: should a disk damage one, the others still count.
    """

    finished: Mapping[str, Any]
    """Value by key, read from the file when it is asked for."""

    def __init__(self, path: Path) -> None:
        """Open the journal and find what earlier runs finished.

        Raises:
            ResourceError: another process has the journal open, the disk is full, or the folder
                is not writable.
        """
        self._log = Log(path)
        self.finished = self._finished = _Finished(self._log)
        if not self._log.lock():
            self._log.close()
            raise ResourceError(
                f"{path}: another process is writing this journal. Wait until it has finished; its "
                "answers are then yours too."
            )
        for place, line in self._log.new_lines():
            key = _key(line)
            if key is not None:
                self._finished.places[key] = place

    def append(self, key: str, value: Any) -> None:
        """Record a finished piece; it survives the process from the moment this returns.

        Raises:
            ResourceError: the disk is full.
        """
        self._finished.places[key] = self._log.append([key, value])

    def close(self) -> None:
        """Flush to the disk and close; the next process may open it."""
        self._log.sync()
        self._log.close()

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
