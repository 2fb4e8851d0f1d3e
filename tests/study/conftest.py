"""A finished study in an instant: every step has a record, and nothing was computed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mixmerge.execution.step import in_order
from mixmerge.execution.store import RECORD, Store
from mixmerge.files import write_json
from mixmerge.study.run import prepare

Pretend = Callable[[Path, Path], None]
"""Takes a study file and a run folder."""


@pytest.fixture
def pretend() -> Pretend:
    """Return a function that records every step of a study as done."""
    return _pretend


def _pretend(study: Path, root: Path) -> None:
    store = Store(root)
    passed_on: dict[str, str] = {}
    placed: dict[str, Path] = {}
    for step in in_order(prepare(study, root).steps):
        key = store.key(step, passed_on)
        placed[step.id] = store.place(step, key, placed)
        record = {"key": key, "kind": step.kind, "name": step.name, "output": key, "seconds": 1.0}
        record["versions"] = {}
        facts = {"rows": 160, "tokens": 8000, "characters": 32000}
        write_json(placed[step.id] / RECORD, {**record, "contents": {}, "facts": facts})
        passed_on[step.id] = key
