"""Where machine code lies on the disk."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mixmerge.merging.kernels import object_files


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of the test's own, and a cache that cannot be written."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    object_files.folder.cache_clear()
    yield tmp_path / f"mixmerge-{os.getuid()}"
    object_files.folder.cache_clear()


def test_without_a_cache_code_lies_in_a_temporary_folder(temporary: Path) -> None:
    """It is the user's alone, and found again."""
    assert object_files.folder() == temporary
    assert temporary.stat().st_mode & 0o777 == 0o700
    object_files.folder.cache_clear()
    assert object_files.folder() == temporary


@pytest.mark.parametrize("kind", ["another user's", "open to all", "a link", "a file"])
def test_code_is_never_taken_from_a_folder_that_others_can_write(
    kind: str, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever knows the name can make the folder first; then this process has one of its own."""
    place = temporary
    if kind == "a link":
        (temporary.parent / "elsewhere").mkdir()
        place.symlink_to(temporary.parent / "elsewhere")
    elif kind == "a file":
        place.write_text("")
    else:
        place.mkdir()
    if kind == "open to all":
        place.chmod(0o777)
    if kind == "another user's":
        somebody = os.getuid() + 1
        place.rename(temporary.parent / f"mixmerge-{somebody}")
        monkeypatch.setattr(os, "getuid", lambda: somebody)
    folder = object_files.folder()
    assert folder.name.startswith("mixmerge-")
    assert folder not in (place, temporary.parent / f"mixmerge-{os.getuid()}")
    assert folder.stat().st_mode & 0o777 == 0o700
