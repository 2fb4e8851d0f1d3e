"""A finished study, for real or in an instant: every step has a record, nothing was computed."""

from collections.abc import Callable
from pathlib import Path

import pytest

import mixmerge
from mixmerge.execution.step import in_order
from mixmerge.execution.store import RECORD, Store
from mixmerge.files import write_json
from mixmerge.study.run import prepare
from mixmerge.study.steps import KINDS

FACTS = {"rows": 160, "tokens": 8000, "characters": 32000, "steps": 10, "clusters": 80}
FACTS |= {"machine_translated": 0}
"""What the records tell, each kind its own part of it."""

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"

Pretend = Callable[[Path, Path], None]
"""Takes a study file and a run folder."""


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the small study; change a copy, not the run."""
    out = tmp_path_factory.mktemp("run") / "small"
    assert mixmerge.run(SMALL, out, workers=2) is not None
    return out


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
        told = KINDS[step.kind].facts.model_fields
        facts = {name: value for name, value in FACTS.items() if name in told}
        write_json(placed[step.id] / RECORD, {**record, "contents": {}, "facts": facts})
        passed_on[step.id] = key
