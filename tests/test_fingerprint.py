"""Tests of mixmerge.fingerprint."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import ResourceError
from mixmerge.fingerprint import fingerprint, folder_fingerprint


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


def test_a_file_that_may_not_be_read_is_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names it; the superuser may read all, so the refusal is made up here."""
    file = tmp_path / "model.safetensors"
    file.write_text("")

    def refuse(self: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ResourceError, match=r"model\.safetensors: cannot be read \(Permission den"):
        folder_fingerprint(tmp_path)
