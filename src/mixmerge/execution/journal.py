"""``journal.ndjson``: what happened, as JSON Lines that are only ever appended to.

Each line has ``time`` (UTC, for people: clocks jump), ``event`` and what belongs to the event.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mixmerge.execution.claim import now

JOURNAL = "journal.ndjson"
"""Not ``.jsonl``: those files of a step are rows of data."""


def note(folder: Path, event: str, /, **facts: Any) -> None:
    """Append an event to the journal of a run or a step; a full disk is no reason to stop."""
    line = json.dumps({"time": now(), "event": event, **facts}, ensure_ascii=False)
    with contextlib.suppress(OSError), (folder / JOURNAL).open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")


def events(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the events of a journal; a line that a kill cut short is left out."""
    try:
        text = (folder / JOURNAL).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            yield json.loads(line)
