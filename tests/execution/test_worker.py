"""Tests of mixmerge.execution.worker."""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mixmerge.durable import line_of, read_log
from mixmerge.errors import DataError, SpecError
from mixmerge.execution import worker
from mixmerge.execution.engine import LOST
from mixmerge.execution.environment import RANK_OF_OURS
from mixmerge.execution.step import Step, Task
from mixmerge.execution.store import FAILURE, JOURNAL, LOCK, RECORD, Store, read_record
from mixmerge.files import read_json
from mixmerge.progress import Progress


def placed(root: Path, step: Step) -> tuple[Path, str]:
    """Place a step without inputs; return its folder and key."""
    store = Store(root)
    key = store.key(step, {})
    return store.place(step, key, {}), key


def test_the_record_says_what_happened(tmp_path: Path, toy: str) -> None:
    """A finished step leaves its facts, versions, seconds and the digest of its output."""
    folder, key = placed(tmp_path, Step("write", "a", {"text": "hi"}))
    assert worker.run_step(folder, worker.handlers_from(toy)) == 0
    record = read_record(folder, key)
    assert record is not None
    assert record["facts"]["parents"] == 0
    assert record["versions"]["mixmerge"]
    assert len(record["output"]) == 64


def test_a_done_step_is_not_run_again(tmp_path: Path, toy: str) -> None:
    """Running a finished step changes nothing."""
    folder, _ = placed(tmp_path, Step("write", "a"))
    handlers = worker.handlers_from(toy)
    worker.run_step(folder, handlers)
    before = (folder / RECORD).read_bytes()
    assert worker.run_step(folder, handlers) == 0
    assert (folder / RECORD).read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [("user", 2, "rows.jsonl, line 3: broken."), ("fault", 1, "RuntimeError: boom")],
)
def test_a_failure_leaves_its_reason(
    tmp_path: Path, toy: str, kind: str, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A failed step has no record; only a fault of ours prints a traceback."""
    folder, _ = placed(tmp_path, Step(kind, "a"))
    assert worker.run_step(folder, worker.handlers_from(toy)) == code
    assert read_json(folder / FAILURE) == {"code": code, "message": message}
    assert not (folder / RECORD).exists()
    assert ("Traceback" in capsys.readouterr().err) == (code == 1)


def test_two_processes_do_not_run_one_step(
    tmp_path: Path,
    toy: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A step that another process holds is lost for us, the holder named, its folder untouched."""
    monkeypatch.setattr(worker, "_PATIENCE_SECONDS", 0.0)
    folder, _ = placed(tmp_path, Step("write", "a"))
    with (folder / LOCK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write('{"pid": 7, "host": "here", "command": "run", "since": "today"}')
        held.flush()
        before = sorted(path.name for path in folder.iterdir())
        assert worker.run_step(folder, worker.handlers_from(toy)) == LOST
        assert sorted(path.name for path in folder.iterdir()) == before
    assert "another process is running this step (process 7 on here" in capsys.readouterr().err
    assert worker.run_step(folder, worker.handlers_from(toy)) == 0


LAUNCHED = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_PORT": "1", "OMPI_COMM_WORLD_RANK": "1"}


def test_a_launcher_that_started_our_shell_is_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step keeps its books and sees no ranks, whatever torchrun or MPI left in its variables."""
    for name, value in (LAUNCHED | {"PMI_SIZE": "4", "SLURM_PROCID": "3"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder, key = placed(tmp_path, Step("look", "a"))
    seen: list[str] = []

    def look(_task: Task, _progress: Progress) -> Mapping[str, Any]:
        seen.extend(os.environ)
        return {}

    assert worker.run_step(folder, {"look": look}) == 0
    assert read_record(folder, key) is not None
    assert not {*LAUNCHED, "PMI_SIZE", "SLURM_PROCID"} & {*seen}
    assert "OMP_NUM_THREADS" in seen


def test_a_rank_of_ours_takes_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the engine says that it has started ranks, the second one writes no record."""
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(RANK_OF_OURS, "1")
    folder, _ = placed(tmp_path, Step("look", "a"))
    assert worker.run_step(folder, {"look": lambda *_: {}}) == 0
    assert not (folder / RECORD).exists()


def test_an_unknown_kind_is_refused(tmp_path: Path, toy: str) -> None:
    """A step of a kind that this version does not have names the known ones."""
    folder, _ = placed(tmp_path, Step("dance", "a"))
    with pytest.raises(SpecError, match="unknown kind of step `dance`; known are chatty, fault, "):
        worker.run_step(folder, worker.handlers_from(toy))


def fails_with(error: Exception) -> Mapping[str, worker.Handler]:
    """Handlers whose only step raises."""

    def fail(_task: Task, _progress: Progress) -> Mapping[str, Any]:
        raise error

    return {"fail": fail}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionResetError("reset by peer"), 75),
        (OSError(errno.EIO, "input/output error"), 75),
        (FileNotFoundError("none.txt"), 1),
        (PermissionError("no"), 1),
        (ValueError("a bug"), 1),
        (OSError(errno.ENOSPC, "no space left"), 2),
        (shutil.Error([("a", "b", "[Errno 28] No space left on device: 'a' -> 'b'")]), 2),
        (RuntimeError("writing: No space left on device (os error 28)"), 2),
        (DataError("a broken row"), 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exit_codes_tell_faults_apart(tmp_path: Path, error: Exception, code: int) -> None:
    """Faults that pass have 75; a missing file does not pass; a full disk is the user's to free."""
    folder, _ = placed(tmp_path, Step("fail", "a"))
    assert worker.run_step(folder, fails_with(error)) == code
    assert read_json(folder / FAILURE)["code"] == code


def test_the_journal_tells_every_attempt(tmp_path: Path) -> None:
    """Each start and end is one line; the record counts the attempts."""
    folder, key = placed(tmp_path, Step("fail", "a"))
    worker.run_step(folder, fails_with(TimeoutError("slow")))
    worker.run_step(folder, {"fail": lambda *_: {}})
    told = [(event["event"], event.get("attempt")) for event in read_log(folder / JOURNAL)]
    assert told == [("started", 1), ("failed", None), ("started", 2), ("finished", None)]
    record = read_record(folder, key)
    assert record is not None
    assert record["attempts"] == 2


def test_the_journal_survives_a_torn_line(tmp_path: Path) -> None:
    """A line cut short by a kill is passed over."""
    (tmp_path / JOURNAL).write_bytes(
        line_of({"event": "started"}) + b'null\n["00000000", {"event": "fin'
    )
    assert list(read_log(tmp_path / JOURNAL)) == [{"event": "started"}]


def test_outputs_reach_the_disk_before_the_record(
    tmp_path: Path, toy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every output, and the folders that name it, are flushed before the record gets its name."""
    folder, _ = placed(tmp_path, Step("write", "a"))
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def flushed(handle: int) -> None:
        done.append("flush " + str(Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    def renamed(self: Path, target: Path) -> Path:
        done.append(f"rename {target}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", renamed)
    assert worker.run_step(folder, worker.handlers_from(toy)) == 0
    record = done.index(f"rename {folder / RECORD}")
    for place in (folder / "out.txt", folder, folder.parent):
        assert f"flush {place}" in done[:record], place
    assert f"flush {folder / RECORD}.partial" in done[:record]
    assert f"flush {folder}" in done[record:]


def test_a_lost_output_is_not_done(tmp_path: Path, toy: str) -> None:
    """An output that is gone, or shorter than it was, makes its step undone."""
    folder, key = placed(tmp_path, Step("write", "a", {"text": "hello"}))
    worker.run_step(folder, worker.handlers_from(toy))
    assert read_record(folder, key) is not None
    (folder / "out.txt").write_text("hell")
    assert read_record(folder, key) is None
    assert worker.run_step(folder, worker.handlers_from(toy)) == 0
    assert (folder / "out.txt").read_text() == "hello"


def test_what_it_points_to_must_be_there(tmp_path: Path) -> None:
    """A step whose output is a place outside the run is undone when that place is gone."""
    outside = tmp_path / "outside"
    outside.mkdir()
    folder, key = placed(tmp_path / "run", Step("point", "a"))
    worker.run_step(folder, {"point": lambda *_: {"outside": [str(outside)]}})
    assert read_record(folder, key) is not None
    outside.rmdir()
    assert read_record(folder, key) is None


def test_a_clock_that_jumps_back_changes_no_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Durations come from the monotonic clock: a clock set back by a day does not show."""

    def jump(_task: Task, _progress: Progress) -> Mapping[str, Any]:
        monkeypatch.setattr(time, "time", lambda: 0.0)
        return {}

    folder, key = placed(tmp_path, Step("jump", "a"))
    assert worker.run_step(folder, {"jump": jump}) == 0
    record = read_record(folder, key)
    assert record is not None
    assert 0 <= record["seconds"] < 60


def test_every_rank_makes_lost_outputs_again(
    tmp_path: Path, toy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later rank has nothing to do for a done step, and takes part where outputs were lost."""
    folder, _ = placed(tmp_path, Step("write", "a"))
    worker.run_step(folder, worker.handlers_from(toy))
    monkeypatch.setenv("RANK", "1")
    ran: list[Task] = []

    def take_part(task: Task, _progress: Progress) -> Mapping[str, Any]:
        ran.append(task)
        return {}

    assert worker.run_step(folder, {"write": take_part}) == 0
    assert not ran
    (folder / "out.txt").unlink()
    assert worker.run_step(folder, {"write": take_part}) == 0
    assert len(ran) == 1


def test_leftovers_of_a_killed_attempt_are_removed(tmp_path: Path, toy: str) -> None:
    """What an earlier attempt had half written does not stay in the finished folder."""
    folder, _ = placed(tmp_path, Step("write", "a"))
    (folder / "model.partial").mkdir()
    (folder / "model.partial" / "weights").write_text("half")
    (folder / "rows.partial").write_text("half")
    assert worker.run_step(folder, worker.handlers_from(toy)) == 0
    assert not list(folder.glob("*.partial"))
