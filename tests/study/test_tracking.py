"""Tests of mixmerge.study.tracking, with stand-ins for the trackers' packages."""

import json
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mixmerge.errors import ResourceError
from mixmerge.execution.events import Ended, Finished
from mixmerge.execution.step import Step
from mixmerge.study.tracking import Tracker
from mixmerge.training.spec import TrackingSpec

TELL = """
import json
SAID = []
def tell(*what): SAID.append(what)
"""
STAND_INS = {
    "wandb": """
class Run:
    def log(self, numbers): tell("log", numbers)
    def finish(self): tell("end")
def init(project, name):
    tell("begin", project, name)
    return Run()
""",
    "trackio": """
def init(project, name): tell("begin", project, name)
def log(numbers): tell("log", numbers)
def finish(): tell("end")
""",
    "mlflow": """
def set_experiment(project): tell("project", project)
def start_run(run_name): tell("run", run_name)
def log_metrics(numbers): tell("log", numbers)
def end_run(): tell("end")
""",
}
RECORD: dict[str, Any] = {
    "seconds": 1.5,
    "attempts": 1,
    "peak_memory_mb": 200.0,
    "facts": {"tokens": 70, "language": "en", "whole": True},
}


def stand_in(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a stand-in for a package on the path, for this test alone."""
    (tmp_path / f"{name}.py").write_text(TELL + STAND_INS[name])
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(sys.modules, name, ModuleType(name))  # and with it, its removal
    del sys.modules[name]


@pytest.mark.parametrize("name", ["wandb", "trackio", "mlflow"])
def test_one_event_for_each_finished_step(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers of a step are sent under its name; text and truth values are not numbers."""
    stand_in(name, tmp_path, monkeypatch)
    assert name not in sys.modules
    tracker = Tracker(TrackingSpec.model_validate({"to": name, "project": "ratios"}), "demo")
    tracker(Finished(Step("train", "sft-15"), RECORD))
    tracker(Ended("done"))
    said = sys.modules[name].SAID
    assert json.dumps(said).count("ratios") == 1
    assert json.dumps(said).count("demo") == 1
    assert said[-2:] == [
        (
            "log",
            {
                "train/sft-15/seconds": 1.5,
                "train/sft-15/peak_memory_mb": 200.0,
                "train/sft-15/attempts": 1.0,
                "train/sft-15/tokens": 70.0,
            },
        ),
        ("end",),
    ]
    del sys.modules[name]


def test_a_failing_tracker_stops_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A tracker that raises is named once in the log, and is left alone afterwards."""
    stand_in("trackio", tmp_path, monkeypatch)
    tracker = Tracker(TrackingSpec(to="trackio"), "demo")
    module = sys.modules["trackio"]

    def refuse(_: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(module, "log", refuse)
    with caplog.at_level(logging.WARNING):
        tracker(Finished(Step("train", "a"), RECORD))
        tracker(Finished(Step("train", "b"), RECORD))
    assert caplog.text.count("tracking stopped: ConnectionError: no network") == 1
    del sys.modules["trackio"]


def test_a_tracker_that_cannot_begin_stops_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a key or a network at the start it is named in the log, and the run goes on."""
    stand_in("wandb", tmp_path, monkeypatch)
    refusing = 'def init(project, name): raise PermissionError("no API key")\n'
    (tmp_path / "wandb.py").write_text(refusing)
    with caplog.at_level(logging.WARNING):
        tracker = Tracker(TrackingSpec(to="wandb"), "demo")
        tracker(Finished(Step("train", "a"), RECORD))
        tracker(Ended("done"))
    assert caplog.text.count("tracking stopped: PermissionError: no API key") == 1
    del sys.modules["wandb"]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package there is one message, before anything runs."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ResourceError, match="needs the package wandb, which is not installed"):
        Tracker(TrackingSpec(to="wandb"), "demo")
