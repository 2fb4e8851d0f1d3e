"""Tests of mixmerge.execution.status."""

import json
import os
from pathlib import Path

import pytest

from mixmerge.durable import claimed, read_log
from mixmerge.errors import SpecError
from mixmerge.execution.events import Blocked, Ended, Failed, Finished, Started, Stopping
from mixmerge.execution.status import STATUS, StatusFile, status
from mixmerge.execution.step import Step
from mixmerge.execution.store import JOURNAL, LOCK

STEPS = [Step("write", name) for name in ("a", "b", "c", "d")]


def told(root: Path) -> StatusFile:
    """A status file after one step of each fate."""
    file = StatusFile(root, STEPS)
    a, b, c, d = STEPS
    folder = root / "write" / "x-01234567"
    folder.mkdir(parents=True)
    file(Started(a, folder))
    file(Finished(a, {"seconds": 1.5}))
    file(Started(b, folder))
    file(Failed(b, folder, "boom"))
    file(Blocked(c, "write/b"))
    file(Started(d, folder))
    return file


def test_a_live_run_is_told_from_a_dead_one(tmp_path: Path) -> None:
    """The same file means a running study while its driver lives, and a dead one afterwards."""
    file = told(tmp_path)
    file(Stopping(1))
    with claimed(tmp_path / LOCK, "study", patience=0.0):
        assert status(tmp_path).state == "stopping"
    assert status(tmp_path).state == "dead"
    file(Ended("failed"))
    assert status(tmp_path).state == "failed"


def test_a_run_on_a_full_disk_is_alive(tmp_path: Path) -> None:
    """A driver that could not write its name into the lock still counts as running."""
    told(tmp_path)
    with claimed(tmp_path / LOCK, "study", patience=0.0):
        (tmp_path / LOCK).write_text("")
        assert status(tmp_path).state == "running"


def test_every_step_has_its_state(tmp_path: Path) -> None:
    """Done, failed, blocked and running steps are told apart, with reasons."""
    told(tmp_path)(Ended("failed"))
    found = status(tmp_path)
    assert [step.state for step in found.steps] == ["done", "failed", "blocked", "running"]
    assert [step.message for step in found.steps] == ["", "boom", "waits for write/b", ""]
    assert found.owner.pid == os.getpid()
    assert found.counts == {"done": 1, "failed": 1, "blocked": 1, "running": 1}


def test_the_progress_of_a_running_step_is_read(tmp_path: Path) -> None:
    """How far a step is comes from the step itself, so it is new even if the driver is slow."""
    told(tmp_path)(Ended("failed"))
    progress = {"done": 3, "total": 4, "what": "rows"}
    (tmp_path / "write" / "x-01234567" / "progress.json").write_text(json.dumps(progress))
    step = status(tmp_path).steps[3]
    assert (step.done, step.total, step.what) == (3, 4, "rows")


def test_other_tools_can_read_it(tmp_path: Path) -> None:
    """The file is plain JSON with a schema number, and the journal has one event a line."""
    told(tmp_path)(Ended("failed"))
    read = json.loads((tmp_path / STATUS).read_text())
    assert read["schema"] == 1
    assert read["steps"]["write/a"] == {
        "state": "done",
        "reused": False,
        "seconds": 1.5,
        "folder": "write/x-01234567",
        "attempts": 1,
    }
    assert [event["event"] for event in read_log(tmp_path / JOURNAL)] == [
        "started", "finished", "started", "failed", "started", "ended",
    ]  # fmt: skip


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    """There is nothing to say of a folder in which nothing ran."""
    with pytest.raises(SpecError, match=r"no status\.json; give the folder of a `mixmerge run`"):
        status(tmp_path)
