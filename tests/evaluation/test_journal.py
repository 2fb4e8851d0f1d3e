"""The journal keeps what was finished, whatever killed the writer."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from mixmerge.durable import line_of
from mixmerge.errors import ResourceError
from mixmerge.evaluation.journal import Journal


def test_reads_back_what_was_appended(tmp_path: Path) -> None:
    """A new journal on the same file has the same finished work."""
    with Journal(tmp_path / "j") as journal:
        journal.append("a", {"text": "नमस्ते\n"})
        journal.append("b", [1, 2])
    with Journal(tmp_path / "j") as journal:
        assert journal == {"a": {"text": "नमस्ते\n"}, "b": [1, 2]}


def test_appended_work_is_on_file_before_closing(tmp_path: Path) -> None:
    """What was appended is readable at once: a kill after it loses nothing."""
    with Journal(tmp_path / "j") as journal:
        journal.append("a", 1)
        assert (tmp_path / "j").read_bytes() == line_of(["a", 1])


@pytest.mark.parametrize("torn", [line_of(["b", 2])[:20], line_of(["b", 2])[:-1], b"\xff\xfe"])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    """Half a line is forgotten, what stands before it is kept, and appending goes on after it."""
    (tmp_path / "j").write_bytes(line_of(["a", 1]) + torn)
    with Journal(tmp_path / "j") as journal:
        assert journal == {"a": 1}
        journal.append("c", 3)
    assert (tmp_path / "j").read_bytes() == line_of(["a", 1]) + line_of(["c", 3])


def test_a_damaged_line_costs_only_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What a disk damaged in the middle is done again, and said; what follows it still counts."""
    damaged = b'\x00\x00", 2]\n{"c": 3}\nnull\n5\n' + line_of(["e", 5]).replace(b"5]", b"4]")
    (tmp_path / "j").write_bytes(line_of(["a", 1]) + damaged + line_of(["d", 4]))
    with Journal(tmp_path / "j") as journal:
        assert journal == {"a": 1, "d": 4}
        assert "j: 5 damaged lines; their work is done again" in caplog.text
        journal.append("b", 2)
    with Journal(tmp_path / "j") as journal:
        assert journal == {"a": 1, "d": 4, "b": 2}


def test_the_last_value_of_a_key_counts(tmp_path: Path) -> None:
    """Appending a key again replaces its value, now and for the next reader."""
    with Journal(tmp_path / "j") as journal:
        journal.append("a", 1)
        journal.append("a", 2)
        assert journal == {"a": 2}
    with Journal(tmp_path / "j") as journal:
        assert journal == {"a": 2}


def test_values_are_not_held_in_memory(tmp_path: Path) -> None:
    """A thousand values of ten kilobytes take kilobytes, also when they are read back."""
    with Journal(tmp_path / "j") as journal:
        tracemalloc.start()
        for number in range(1000):
            journal.append(f"{number:064}", "x" * 10_000)
        assert sum(len(journal[key]) for key in journal) == 10_000_000
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1_000_000


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    """A second process is refused while the first lives, and let in when it was killed."""
    code = (
        "import sys, time; from pathlib import Path; "
        "from mixmerge.evaluation.journal import Journal; "
        "j = Journal(Path(sys.argv[1])); j.append('a', 1); print(flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "j")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(ResourceError, match="another process is writing this journal"):
            Journal(tmp_path / "j")
        other.kill()
    with Journal(tmp_path / "j") as journal:
        assert journal == {"a": 1}


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be written whole is cut off, so that the next line stands for itself."""
    with Journal(tmp_path / "j") as journal:
        journal.append("a", 1)
        write = os.write

        def full(handle: int, line: bytes) -> int:
            write(handle, line[:5])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(ResourceError, match="the disk is full"):
            journal.append("b", 2)
        monkeypatch.undo()
        journal.append("c", 3)
        assert journal == {"a": 1, "c": 3}
    assert (tmp_path / "j").read_bytes() == line_of(["a", 1]) + line_of(["c", 3])
