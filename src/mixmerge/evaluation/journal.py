"""Finished work by key, so that nothing finished is done or paid for twice."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from mixmerge.durable import Log, value_of
from mixmerge.errors import ResourceError

log = logging.getLogger(__name__)


class Journal(Mapping[str, Any]):
    """Finished pieces of work by key, one line of a log each; one process at a time.

    Memory holds keys and places; a value is read from the file when it is asked for. Every line
    stands for itself: should a disk damage one, its piece is done again, and the others count.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal and find what earlier runs finished.

        Raises:
            ResourceError: another process has the journal open, the disk is full, or the folder
                is not writable.
        """
        self._log = Log(path)
        self._places: dict[str, int] = {}
        if not self._log.lock():
            self._log.close()
            raise ResourceError(
                f"{path}: another process is writing this journal. Wait until it has finished; its "
                "answers are then yours too."
            )
        damaged = 0
        for place, line in self._log.new_lines():
            try:
                key, _ = value_of(line)
            except ValueError:
                damaged += 1
            else:
                self._places[key] = place
        if damaged:
            log.warning("%s: %d damaged lines; what they held is done again.", path, damaged)

    def append(self, key: str, value: Any) -> None:
        """Record a finished piece; it survives the process from the moment this returns.

        Raises:
            ResourceError: the disk is full.
        """
        self._places[key] = self._log.append([key, value])

    def close(self) -> None:
        """Flush to the disk and close; the next process may open it."""
        self._log.sync()
        self._log.close()

    def __getitem__(self, key: str) -> Any:
        return self._log.value(self._places[key])[1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
