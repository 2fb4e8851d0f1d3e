"""Tests of mixmerge.fingerprint."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import SpecError
from mixmerge.fingerprint import (
    file_fingerprint,
    fingerprint,
    folder_fingerprint,
    once,
    state_of,
)


def test_the_hash_is_sha256_of_canonical_json() -> None:
    """The fingerprint can be recomputed with any JSON and SHA-256 tool."""
    expected = hashlib.sha256(b'{"a":[1,2.5,null],"b":"\xc3\xa9"}').hexdigest()
    assert fingerprint({"b": "é", "a": [1, 2.5, None]}) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": float("nan")}, r"value\.a is nan"),
        ({"a": [{1, 2}]}, r"value\.a\[0\] is a set"),
        ({1: "a"}, "has the key 1"),
    ],
)
def test_what_has_no_stable_form_is_refused(value: Any, message: str) -> None:
    """NaN, sets and keys that are no strings are refused, saying where they stand."""
    with pytest.raises(TypeError, match=message):
        fingerprint(value)


def test_a_folder_is_its_names_and_contents(tmp_path: Path) -> None:
    """Copies have one fingerprint; a renamed file is a difference."""
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "f").write_text("x")
    assert folder_fingerprint(tmp_path / "one") == folder_fingerprint(tmp_path / "two")
    (tmp_path / "two" / "sub" / "f").rename(tmp_path / "two" / "g")
    assert folder_fingerprint(tmp_path / "one") != folder_fingerprint(tmp_path / "two")


def test_what_lies_behind_a_link_counts(tmp_path: Path) -> None:
    """A folder or file is the same through a link and by itself; a link round is no way."""
    for name, text in (("one", "x"), ("two", "y")):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "f").write_text(text)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "sub").symlink_to(tmp_path / "one" / "sub")
    same = folder_fingerprint(tmp_path / "linked")
    assert same == folder_fingerprint(tmp_path / "one")
    (tmp_path / "linked" / "sub").unlink()
    (tmp_path / "linked" / "sub").symlink_to(tmp_path / "two" / "sub")
    assert folder_fingerprint(tmp_path / "linked") != same
    (tmp_path / "one" / "sub" / "round").symlink_to(tmp_path / "one")
    assert folder_fingerprint(tmp_path / "one") == same


def test_what_may_not_be_read_is_the_users_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is named, with the reason and what to do."""
    (tmp_path / "f").write_text("x")

    def closed(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "f"))

    monkeypatch.setattr(Path, "open", closed)
    for read in (file_fingerprint, lambda path: folder_fingerprint(path.parent)):
        with pytest.raises(SpecError, match=r"/f: cannot be read \(Permission denied\). Check who"):
            read(tmp_path / "f")


def test_a_pipe_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    """Only files count; nothing waits for a pipe."""
    (tmp_path / "f").write_text("x")
    before = folder_fingerprint(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert folder_fingerprint(tmp_path) == before


def test_what_is_made_from_files_is_made_once(tmp_path: Path) -> None:
    """Until a file changes, appears or goes; each maker and each path has its own."""
    made: list[str] = []

    def make(path: Path) -> str:
        made.append(path.name)
        return f"{path.name} {len(made)}"

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text("x")
    one, two = tmp_path / "one", tmp_path / "two"
    assert [once(make, path) for path in (one, two, one, two)] == ["one 1", "two 2"] * 2
    assert once(folder_fingerprint, one) == folder_fingerprint(one)
    before = state_of(one)
    (one / "g").write_text("new")
    assert state_of(one) != before
    assert [once(make, path) for path in (one, two)] == ["one 3", "two 2"]
    (one / "g").unlink()
    assert once(make, one) == "one 4"
