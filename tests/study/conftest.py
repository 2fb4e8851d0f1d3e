"""A finished study, for real or in an instant: every step has a record, nothing was computed."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

import mixmerge
from mixmerge.execution.step import in_order
from mixmerge.execution.store import RECORD, Store
from mixmerge.files import write_json, write_rows
from mixmerge.records import Verdict
from mixmerge.study.run import RUN_FILE, prepare
from mixmerge.study.steps import KINDS
from mixmerge.study.steps.report import STUDY_FILE

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


def _pretend(study: Path, root: Path, seed: int | None = None) -> None:
    store = Store(root)
    passed_on: dict[str, str] = {}
    placed: dict[str, Path] = {}
    for step in in_order(prepare(study, root, seed=seed).steps):
        key = store.key(step, passed_on)
        placed[step.id] = store.place(step, key, placed)
        record = {"key": key, "kind": step.kind, "name": step.name, "output": key, "seconds": 1.0}
        record["versions"] = {}
        told = KINDS[step.kind].facts.model_fields
        facts = {name: value for name, value in FACTS.items() if name in told}
        write_json(placed[step.id] / RECORD, {**record, "contents": {}, "facts": facts})
        passed_on[step.id] = key


Judged = Callable[..., Path]
"""Takes a study like `small.yaml`, a run folder, and rates by model; see `_judged`."""


@pytest.fixture
def judged() -> Judged:
    """Return a function that records a study as done, with drawn verdicts of its own axes."""
    return _judged


def _judged(
    study: Path,
    root: Path,
    rates: Mapping[str, float],
    *,
    seed: int = 1,
    questions: int = 60,
    languages: tuple[str, ...] = ("en", "fr"),
) -> Path:
    """Write verdicts on two axes of some models: wins, and harmful answers, at the same rate."""
    _pretend(study, root, seed)
    (root / STUDY_FILE).write_text(study.read_text())
    write_json(root / RUN_FILE, {"seed": seed, "directory": str(study.parent)})
    rng = np.random.default_rng(seed)
    for model, rate in rates.items():
        (folder,) = root.glob(f"judge/{model}-????????")
        for axis, (yes, no) in {"general": ("win", "loss"), "safety": ("yes", "no")}.items():
            if model == "base" and axis == "general":
                continue
            rows = [
                Verdict(
                    prompt=f"q{question}-{language}",
                    cluster=f"q{question}",
                    language=language,
                    axis=axis,
                    judge="drawn@1",
                    outcome=yes if rng.random() < rate else no,
                )
                for question in range(questions)
                for language in languages
            ]
            write_rows(folder / f"{axis}.jsonl", rows)
    return root
