"""Trainings that tell an experiment tracker, with a stand-in for its package."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import ResourceError
from mixmerge.training.run import train
from mixmerge.training.spec import TrackingSpec, TrainPlacement, TrainSpec

SPEC = TrainSpec(learning_rate=1e-2, max_steps=3, batch_size=4, seed=3)

TRACKIO = """
import contextvars, json, os, types
__version__ = "1.0"
context_vars = types.SimpleNamespace(
    current_space_id=contextvars.ContextVar("space", default=None),
    current_run=contextvars.ContextVar("run", default=None),
)
class Config(dict):
    def update(self, values, allow_val_change=False):
        super().update(values)
config = Config()
def tell(what, **values):
    with open(os.environ["TRACKIO_SAID"], "a") as stream:
        stream.write(json.dumps([what, values], default=str) + "\\n")
def init(project, name, **_):
    tell("init", project=project, name=name)
def log(metrics, step=None):
    tell("log", **metrics)
def finish():
    tell("finish")
"""


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for trackio, and the file in which it writes what it is told.

    Once imported it stays: libraries remember that it was there, and ask it in later trainings.
    """
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "trackio.py").write_text(TRACKIO)
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    monkeypatch.setenv("TRACKIO_SAID", str(tmp_path / "said.jsonl"))
    return tmp_path / "said.jsonl"


def test_losses_go_to_the_tracker(
    cohere: Path, conversations: Callable[[int], Path], tmp_path: Path, said: Path
) -> None:
    """Project, run name and every step's loss are told; the weights do not change by it."""
    rows = conversations(12)
    placement = TrainPlacement(tracking=TrackingSpec(to="trackio", project="ratios"))
    train(SPEC, model=cohere, rows=rows, out=tmp_path / "told", placement=placement)
    train(SPEC, model=cohere, rows=rows, out=tmp_path / "silent")
    events = [json.loads(line) for line in said.read_text().splitlines()]
    assert events[0] == ["init", {"project": "ratios", "name": "told"}]
    losses = [values["train/loss"] for what, values in events if "train/loss" in values]
    assert len(losses) == 3
    weights = [
        (tmp_path / out / "model" / "model.safetensors").read_bytes() for out in ("told", "silent")
    ]
    assert weights[0] == weights[1]
    assert sum(what == "init" for what, _ in events) == 1


def test_a_tracker_that_is_not_installed_is_named(
    cohere: Path, conversations: Callable[[int], Path], tmp_path: Path
) -> None:
    """The package is named with the command that installs it."""
    placement = TrainPlacement(tracking=TrackingSpec(to="mlflow"))
    with pytest.raises(ResourceError, match=r"`to: mlflow` needs .*pip install mlflow"):
        train(SPEC, model=cohere, rows=conversations(8), out=tmp_path / "o", placement=placement)


@pytest.mark.parametrize("broken", ["init", "log", "finish"])
def test_a_tracker_that_fails_stops_no_training(
    cohere: Path,
    pairs: Callable[[int], Path],
    tmp_path: Path,
    said: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: str,
) -> None:
    """It is said once, and the model is whole, whichever call fails and whatever is trained."""
    trackio = importlib.import_module("trackio")

    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("nobody there")

    monkeypatch.setattr(trackio, broken, fail)
    spec = SPEC.model_copy(update={"method": "dpo", "beta": 0.1})
    placement = TrainPlacement(tracking=TrackingSpec(to="trackio"))
    out = tmp_path / broken
    report = train(spec, model=cohere, rows=pairs(8), out=out, placement=placement)
    assert (report.steps, (out / "model").is_dir()) == (3, True)
    stopped = [each for each in caplog.messages if "tracking stopped" in each]
    assert stopped == ["tracking stopped: ConnectionError: nobody there"]
    assert not said.exists() or "nobody" not in said.read_text()
