"""Tests of mixmerge.files."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from mixmerge import files
from mixmerge.errors import DataError, ResourceError, SpecError
from mixmerge.records import Message


def test_rows_read_back_what_was_written(tmp_path: Path) -> None:
    """Typed rows survive a round trip, line separators inside texts included."""
    rows = [Message(role="user", content="a\u2028b\nc"), Message(role="user", content="ж")]
    files.write_rows(tmp_path / "r.jsonl", rows)
    assert files.read_rows(tmp_path / "r.jsonl", Message) == rows


def test_a_broken_row_is_named_by_line(tmp_path: Path) -> None:
    """A row of another shape is refused with its line, field and what was seen."""
    (tmp_path / "r.jsonl").write_text(
        '{"role":"user","content":"a"}\n\n{"role":"king","content":"a"}\n'
    )
    with pytest.raises(DataError, match=r"r\.jsonl, line 3: `role`: .*seen: 'king'"):
        files.read_rows(tmp_path / "r.jsonl", Message)


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    """When filling fails, the folder of that name stays as it was and no partial one is left."""
    with files.whole_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("old")

    def fill_half() -> None:
        with files.whole_folder(tmp_path / "out") as folder:
            (folder / "a").write_text("new")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fill_half()
    assert (tmp_path / "out" / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_full_disk_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENOSPC becomes one message with the path and the free space; no file appears."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResourceError, match=r"x\.json: the disk is full .* MB free"):
        files.write_json(tmp_path / "x.json", {})
    assert not list(tmp_path.iterdir())


def test_a_copy_onto_a_full_disk_is_explained(tmp_path: Path) -> None:
    """The disk is full also where `shutil.copytree` tells it for each file, without a number."""
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "a").touch()

    def full(source: str, target: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), source, None, target)

    def copy() -> None:
        with files.whole_folder(tmp_path / "to") as folder:
            shutil.copytree(tmp_path / "from", folder, dirs_exist_ok=True, copy_function=full)

    with pytest.raises(ResourceError, match=r"to: the disk is full .* MB free"):
        copy()
    assert [path.name for path in tmp_path.iterdir()] == ["from"]


def test_rows_in_a_folder_are_refused(tmp_path: Path) -> None:
    """A folder where a file of rows is asked for is refused by name."""
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\)"):
        files.read_rows(tmp_path, Message)


def test_bad_json_names_the_place(tmp_path: Path) -> None:
    """A file that is not JSON is refused with its line and column."""
    (tmp_path / "x.json").write_text("{\n  1}")
    with pytest.raises(SpecError, match=r"x\.json: not valid JSON: .*line 2 column"):
        files.read_json(tmp_path / "x.json")
