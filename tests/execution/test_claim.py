"""Tests of mixmerge.execution.claim."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mixmerge.errors import ResourceError
from mixmerge.execution.claim import claimed, held, holder

HOLD = """
import sys, time
from pathlib import Path
from mixmerge.execution.claim import claimed
with claimed(Path(sys.argv[1]), "study", patience=0):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(lock: Path) -> subprocess.Popen[str]:
    """Start a process that holds a lock."""
    command = [sys.executable, "-c", HOLD, str(lock)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_holder_is_named(tmp_path: Path) -> None:
    """While another process holds a lock, its id is known and nobody else gets the lock."""
    lock = tmp_path / "lock"
    process = hold(lock)
    owner = holder(lock)
    assert owner is not None
    assert owner.pid == process.pid
    with (
        pytest.raises(ResourceError, match=rf"running this study \(process {process.pid} on .*-c"),
        claimed(lock, "study", patience=0.0),
    ):
        pass
    process.kill()
    process.communicate()


def test_a_stale_lock_is_recognised(tmp_path: Path) -> None:
    """A lock whose holder was killed is free; the next holder learns who it was."""
    lock = tmp_path / "lock"
    process = hold(lock)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert holder(lock) is None
    with claimed(lock, "study", patience=5.0) as last:
        assert last is not None
        assert last.pid == process.pid
        mine = holder(lock)
        assert mine is not None
        assert mine.pid == os.getpid()
    with claimed(lock, "study", patience=0.0) as last:
        assert last is None


def test_a_torn_name_is_no_obstacle(tmp_path: Path) -> None:
    """A lock file with half a name in it can be taken."""
    lock = tmp_path / "lock"
    lock.write_text('{"pid": 7, "ho')
    with claimed(lock, "step", patience=0.0) as last:
        assert last is None
        assert json.loads(lock.read_text())["pid"] == os.getpid()


def test_a_holder_without_a_name_is_seen(tmp_path: Path) -> None:
    """A lock is held whether or not its holder could write its name; a free one is not."""
    lock = tmp_path / "lock"
    assert not held(lock)
    process = hold(lock)
    lock.write_text("")
    assert held(lock)
    assert holder(lock) is None
    process.kill()
    process.communicate()
    assert not held(lock)


def test_a_file_system_without_locks_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the file system cannot lock, the run goes on with a warning."""

    def none(*_: object) -> None:
        raise OSError(errno.ENOSYS, "not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    with claimed(tmp_path / "lock", "study", patience=0.0):
        pass
    assert "this file system has no locks" in caplog.text
