"""Behaviour of the place where a merge is written: whole or absent, alone, and resumable."""

import subprocess
import sys
from pathlib import Path

import pytest

from mixmerge.errors import ModelError, ResourceError
from mixmerge.merging.output.workplace import workplace


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    """Nothing has the final name until the end, then everything has, and nothing else is left."""
    with workplace(tmp_path / "out", "key") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a"]


def fail(out: Path, key: str, error: BaseException) -> None:
    """Write a whole file and a half, and stop with an error."""
    with workplace(out, key) as folder:
        (folder / "whole").write_text("1")
        (folder / "half.partial").write_text("?")
        (folder / "more").mkdir()
        raise error


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt("stop"), ResourceError("full"), OSError(5, "broken disk")]
)
def test_an_interrupted_attempt_is_continued(tmp_path: Path, error: BaseException) -> None:
    """Whole files are found again, half files are not."""
    with pytest.raises(type(error), match=r"stop|full|broken disk"):
        fail(tmp_path / "out", "key", error)
    with workplace(tmp_path / "out", "key") as folder:
        assert (folder / "whole").read_text() == "1"
        assert not (folder / "half.partial").exists()
        (folder / "more").rmdir()


def test_half_files_of_a_killed_process_do_not_stay(tmp_path: Path) -> None:
    """Neither those that an attempt finds nor those that a lost helper leaves during it."""
    with pytest.raises(KeyboardInterrupt, match="stop"):
        fail(tmp_path / "out", "key", KeyboardInterrupt("stop"))
    (tmp_path / "out.partial" / "more").rmdir()
    (tmp_path / "out.partial" / "w.1a.partial").write_text("?")
    with workplace(tmp_path / "out", "key") as folder:
        assert not (folder / "w.1a.partial").exists()
        (folder / "w.2b.partial").write_text("?")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole"]


@pytest.mark.parametrize("moment", ["unlink", "rename"])
def test_a_merge_killed_while_it_takes_its_name_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """At the very end a merge has no note any more; what is left is still known as ours."""
    change = getattr(Path, moment)

    def killed(path: Path, *args: Path) -> None:
        if path.name in {".merge-key", "out.partial"}:
            raise KeyboardInterrupt("killed")
        change(path, *args)

    def attempt() -> None:
        with workplace(tmp_path / "out", "key") as folder:
            (folder / "mixmerge_recipe.yml").write_text("1")

    monkeypatch.setattr(Path, moment, killed)
    with pytest.raises(KeyboardInterrupt, match="killed"):
        attempt()
    monkeypatch.undo()
    attempt()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mixmerge_recipe.yml"]


def test_another_merge_starts_afresh(tmp_path: Path) -> None:
    """What was left by a merge with another key is removed."""
    with pytest.raises(KeyboardInterrupt, match="stop"):
        fail(tmp_path / "out", "one", KeyboardInterrupt("stop"))
    with workplace(tmp_path / "out", "two") as folder:
        assert [path.name for path in folder.iterdir()] == [".merge-key"]


def test_an_error_that_will_come_again_leaves_nothing(tmp_path: Path) -> None:
    """A broken model leaves neither the folder nor its temporary neighbour."""
    with pytest.raises(ModelError, match="broken"):
        fail(tmp_path / "out", "key", ModelError("broken"))
    assert list(tmp_path.iterdir()) == []


def test_an_older_folder_stays_until_the_end(tmp_path: Path) -> None:
    """A failed replacement changes nothing; a successful one replaces everything."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("1")
    with pytest.raises(ModelError, match="broken"):
        fail(tmp_path / "out", "key", ModelError("broken"))
    assert (tmp_path / "out" / "old").exists()
    with workplace(tmp_path / "out", "key") as folder:
        (folder / "new").write_text("2")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]


HOLDER = """
import sys, pathlib
from mixmerge.merging.output.workplace import workplace
with workplace(pathlib.Path(sys.argv[1]), "key"):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_two_processes_do_not_write_one_folder(tmp_path: Path) -> None:
    """The second is told; the lock of a process that was killed does not count."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "out")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"ready\n"
        try:
            with (
                pytest.raises(ResourceError, match="another process is writing this model"),
                workplace(tmp_path / "out", "key"),
            ):
                pass
        finally:
            holder.kill()
    with workplace(tmp_path / "out", "key"):
        pass
    assert (tmp_path / "out").is_dir()
