"""A journal of finished work by key, so that nothing is done or paid for twice."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from mixmerge.durable import Log, value_of
from mixmerge.errors import ResourceError

log = logging.getLogger(__name__)


class Journal(Mapping[str, Any]):
    """Finished pieces of work by key, one line of a log each; one process at a time.

    Keys and offsets are in memory; values are read from the file on demand. A damaged line costs
    only its own piece of work, which is done again.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal and index what earlier runs finished.

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
            log.warning("%s: %d damaged lines; their work is done again.", path, damaged)

    def append(self, key: str, value: Any) -> None:
        """Record a finished piece; once this returns, it survives the process.

        Raises:
            ResourceError: the disk is full.
        """
        self._places[key] = self._log.append([key, value])

    def close(self) -> None:
        """Flush to disk and close."""
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
