"""Tests of mixmerge.durable: locks that end with their holder, logs without half lines."""

import contextlib
import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.disks import mounted

from mixmerge.durable import (
    Log,
    append_if_possible,
    claimed,
    holder,
    line_of,
    read_log,
    value_of,
)
from mixmerge.errors import ResourceError

HOLD = """
import sys, time
from pathlib import Path
from mixmerge.durable import claimed
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
    assert json.loads(lock.read_text())["pid"] == process.pid
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
    assert not holder(lock)
    with claimed(lock, "study", patience=5.0) as last:
        assert last is not None
        assert last.pid == process.pid
        assert holder(lock)
        assert json.loads(lock.read_text())["pid"] == os.getpid()
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
    assert not holder(lock)
    process = hold(lock)
    lock.write_text("")
    assert holder(lock)
    process.kill()
    process.communicate()
    assert not holder(lock)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EBADF])
def test_a_file_system_without_locks_is_said(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the file system cannot lock, the run goes on with a warning."""

    def none(*_: object) -> None:
        raise OSError(code, "not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    with claimed(tmp_path / "lock", "study", patience=0.0):
        pass
    with closing(Log(tmp_path / "log")) as log:
        assert log.lock()
        log.unlock()
    assert caplog.text.count("this file system has no locks") == 2


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    """A holder that ends within the patience is waited for."""
    first, second = Log(tmp_path / "log"), Log(tmp_path / "log")
    assert first.lock()
    assert not second.lock()
    threading.Timer(0.2, first.unlock).start()
    assert second.lock(patience=20.0)
    first.close()
    second.close()


def test_a_log_hands_out_what_is_new(tmp_path: Path) -> None:
    """Each whole line comes once, also another writer's; one's own are known already."""
    with closing(Log(tmp_path / "log")) as mine, closing(Log(tmp_path / "log")) as other:
        mine.append({"a": 1})
        assert [value_of(line) for _, line in other.new_lines()] == [{"a": 1}]
        other.append("नमस्ते")
        assert list(other.new_lines()) == []
        assert [value_of(line) for _, line in mine.new_lines()] == ["नमस्ते"]
        assert list(mine.new_lines()) == []


def test_a_line_that_was_refused_comes_again(tmp_path: Path) -> None:
    """A caller that raises at a line has not read it."""
    (tmp_path / "log").write_text("1\n2\n3\n")
    with closing(Log(tmp_path / "log")) as log:
        for _, line in log.new_lines():
            if line == b"2\n":
                break
        assert [line for _, line in log.new_lines()] == [b"2\n", b"3\n"]


def test_an_append_cuts_off_a_torn_line(tmp_path: Path) -> None:
    """What a killed writer left is gone, so that the new line stands for itself."""
    (tmp_path / "log").write_bytes(line_of([1]) + line_of([2])[:-1])
    append_if_possible(tmp_path / "log", [3])
    assert (tmp_path / "log").read_bytes() == line_of([1]) + line_of([3])


def test_a_failed_append_leaves_nothing_for_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that a full disk cut short is not finished by the next one."""
    write = os.write

    def full(handle: int, line: bytes) -> int:
        write(handle, line[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    with closing(Log(tmp_path / "log")) as log:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(ResourceError, match="the disk is full"):
            log.append("lost")
        append_if_possible(tmp_path / "log", "lost too")
        monkeypatch.undo()
        assert log.value(log.append("kept")) == "kept"
    assert (tmp_path / "log").read_bytes() == line_of("kept")


def test_reading_passes_over_damage(tmp_path: Path) -> None:
    """A reader beside the writer meets whole values only; a missing file has none."""
    assert list(read_log(tmp_path / "log")) == []
    damaged = b'\x00\xff\nnull\n{"c": 1}\n["00000000", 5]\n'
    (tmp_path / "log").write_bytes(line_of({"a": 1}) + damaged + line_of([2]) + line_of(3)[:-1])
    assert list(read_log(tmp_path / "log")) == [{"a": 1}, [2]]


def test_no_flipped_bit_makes_another_value(tmp_path: Path) -> None:
    """Whichever bit of a log a disk flips, what is read was written; at most two lines are lost."""
    written = [["key", {"verdict": 10, "text": "é"}], 0.25, {"event": "started"}]
    content = b"".join(map(line_of, written))
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        (tmp_path / "log").write_bytes(flipped)
        read = list(read_log(tmp_path / "log"))
        assert len(read) >= 1
        assert [value for value in written if value in read] == read


def test_a_line_is_json_with_its_crc_32(tmp_path: Path) -> None:
    """Other programs can read a log and check it: the sum is that of the value's bytes."""
    with closing(Log(tmp_path / "log")) as log:
        log.append({"text": "नमस्ते \ud83d"})
    line = (tmp_path / "log").read_bytes()
    assert json.loads(line)[1] == {"text": "नमस्ते ?"}
    assert int(json.loads(line)[0], 16) == zlib.crc32(line[13:-2])


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_folder_is_no_lock(make: Callable[[Path], None], tmp_path: Path) -> None:
    """What cannot be a lock or a log is named at once; nothing waits for a pipe's other end."""
    make(tmp_path / "odd")
    with pytest.raises(ResourceError, match="odd: is not a regular file"):
        Log(tmp_path / "odd")
    claim = claimed(tmp_path / "odd", "study", patience=0.0)
    with pytest.raises(ResourceError, match="odd: is not a regular file"), claim:
        pass
    assert not holder(tmp_path / "odd")
    assert list(read_log(tmp_path / "odd")) == []


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system without a free byte; skips where it cannot be mounted."""
    with mounted(tmp_path / "disk", "16k") as disk:
        with (disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
            while True:
                filler.write(bytes(4096))
        yield disk


def test_a_lock_on_a_full_disk_holds_without_a_name(full_disk: Path) -> None:
    """The name of its holder has no room; that stops nobody, at the beginning or at the end."""
    with claimed(full_disk / "lock", "step", patience=0.0) as last:
        assert last is None
        assert holder(full_disk / "lock") == "it has not written its name"
    assert holder(full_disk / "lock") == ""
