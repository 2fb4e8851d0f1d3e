"""Tests of mixmerge.execute.worker."""

import fcntl
from pathlib import Path

import pytest

from mixmerge.errors import ResourceError, SpecError
from mixmerge.execute import worker
from mixmerge.execute.step import Step
from mixmerge.execute.store import FAILURE, LOCK, RECORD, Store, read_record
from mixmerge.files import read_json


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
    tmp_path: Path, toy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that another process holds is refused, naming the holder."""
    monkeypatch.setattr(worker, "_PATIENCE_SECONDS", 0.0)
    folder, _ = placed(tmp_path, Step("write", "a"))
    with (folder / LOCK).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write('{"pid": 7, "host": "here", "command": "run", "since": "today"}')
        held.flush()
        with pytest.raises(
            ResourceError, match=r"another process is running this step .*process 7"
        ):
            worker.run_step(folder, worker.handlers_from(toy))


def test_an_unknown_kind_is_refused(tmp_path: Path, toy: str) -> None:
    """A step of a kind that this version does not have names the known ones."""
    folder, _ = placed(tmp_path, Step("dance", "a"))
    with pytest.raises(SpecError, match="unknown kind of step `dance`; known are fault, "):
        worker.run_step(folder, worker.handlers_from(toy))
