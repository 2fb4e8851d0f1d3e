"""Broken files of every kind: a merge ends with the right model or with one clear sentence."""

import contextlib
import io
import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from tests.limits import limits as bounded
from tests.merging.fuzz_mutations import STRANGE, mutated
from tests.merging.fuzz_reference import Unknown, Wanted, expected
from tests.merging.fuzz_worlds import RECIPE, Files, worlds

from mixmerge.cli.main import exit_code
from mixmerge.errors import UserError
from mixmerge.merging.engine import merge

SECONDS = 20
"""In which every case must end; most take a hundredth of one."""
ROOM = 3 << 29
"""Bytes that may be asked for beyond what the process has at the start."""


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Refuse large allocations, stop what hangs, reach no network, and wait for no disk."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)

    with bounded(SECONDS, ROOM):
        yield


class Playground:
    """Folders with the pristine files of every world, broken and mended again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.worlds = worlds()
        for name, files in self.worlds.items():
            for path, content in files.items():
                (root / name / path).parent.mkdir(parents=True, exist_ok=True)
                (root / name / path).write_bytes(content)
        self.ends: Counter[str] = Counter()

    def case(self, number: int) -> str:
        """Break something, merge, check, and mend; return how it ended."""
        rng = Random(number)
        name = rng.choice(sorted(self.worlds))
        files = self.worlds[name]
        # A merge is mostly broken by its recipe and by weights; there is only one recipe in each.
        wanted = rng.choice((".yml", ".safetensors", ".safetensors", ".json", ""))
        chosen = [path for path in sorted(files) if path.endswith(wanted)]
        broken = {rng.choice(chosen) for _ in range(rng.choice((1, 1, 1, 2)))}
        folder = self.root / name
        for path in sorted(broken):
            self._break(folder / path, files[path], rng)
        try:
            return self._try(folder, rng)
        finally:
            self._mend(folder, files, broken)

    def _break(self, path: Path, content: bytes, rng: Random) -> None:
        if rng.random() < 0.05 and path.name != RECIPE:
            path.unlink()
            STRANGE[rng.choice(sorted(STRANGE))](path)
        else:
            path.write_bytes(mutated(path.name, content, rng))

    def _mend(self, folder: Path, files: Files, broken: set[str]) -> None:
        for path in broken:
            place = folder / path
            if place.is_dir() and not place.is_symlink():
                place.rmdir()
            else:
                place.unlink(missing_ok=True)
            place.write_bytes(files[path])
        shutil.rmtree(folder / "out", ignore_errors=True)
        seen = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert seen == set(files), f"left behind or gone: {sorted(seen ^ set(files))}"

    def _try(self, folder: Path, rng: Random) -> str:
        before = _state(folder)
        way = "command" if rng.random() < 0.03 else "function"
        signal.alarm(SECONDS)
        try:
            with contextlib.chdir(folder):
                end = _by_command() if way == "command" else _by_function()
                if rng.random() < 0.05:
                    models = sorted(path.name for path in Path().iterdir() if path.is_dir())
                    _look_at([name for name in models if name not in ("out", "adapter")], rng)
        finally:
            signal.alarm(0)
        out = folder / "out"
        assert {k: v for k, v in _state(folder).items() if not k.startswith("out/")} == before
        if end is None:
            return _judged(folder, out)
        assert not out.exists(), "a merge that failed left something"
        assert end, "an error without a word"
        assert "\n" not in end.strip(), f"an error of several lines: {end[:500]}"
        assert len(end) < 4000, f"an error of {len(end)} letters: {end[:500]}"
        return "refused"


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    """Return what a change of any file below a folder would change."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if not path.is_dir() or path.is_symlink()
    }


def _by_function() -> str | None:
    """Merge and return what was wrong, or None."""
    try:
        merge(Path(RECIPE), Path("out"), threads=1, seed=1, shard_size=500)
    except UserError as error:
        return str(error)
    return None


def _run(arguments: list[str]) -> tuple[int, str]:
    said, shown = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(shown):
        code = exit_code(arguments)
    assert code in (0, 2), f"{arguments}: exit code {code}: {said.getvalue()[:2000]}"
    assert "Traceback" not in said.getvalue() + shown.getvalue()
    return code, said.getvalue()


def _by_command() -> str | None:
    code, said = _run(["merge", RECIPE, "out", "--threads", "1", "--verify"])
    return said.strip() if code else None


def _look_at(models: list[str], rng: Random) -> None:
    extra = rng.choice(([], ["--headers-only"], ["--json"]))
    code, said = _run(["inspect", *models, *extra])
    assert code == 0 or said.strip() or models, "an error without a word"


def _judged(folder: Path, out: Path) -> str:
    """Compare a merged model with what its inputs say."""
    merged: dict[str, Any] = {}
    for file in out.glob("*.safetensors"):
        merged |= load_file(file)
    assert merged
    assert not list(out.glob("*.partial"))
    try:
        wanted = expected(folder, folder / RECIPE, out)
    except Unknown:
        return "not judged"
    assert merged.keys() == wanted.keys()
    for name, tensor in wanted.items():
        _compare(name, merged[name], tensor)
    return "right"


def _compare(name: str, merged: Any, wanted: Wanted) -> None:
    assert wanted.dtype is None or merged.dtype == wanted.dtype, name
    assert tuple(merged.shape) == wanted.values.shape, name
    off = np.abs(merged.double().numpy() - wanted.values)
    assert (off <= wanted.slack).all(), f"{name}: off by {(off - wanted.slack).max()}"


def play(playground: Playground, cases: range) -> Counter[str]:
    """Run cases; a failure says which."""
    ends: Counter[str] = Counter()
    for number in cases:
        try:
            ends[playground.case(number)] += 1
        except BaseException as error:
            error.add_note(f"case {number}")
            raise
    return ends


def test_pristine_merges_are_right(tmp_path: Path) -> None:
    """Without a broken file every merge ends as the reference has it."""
    playground = Playground(tmp_path)
    for name in playground.worlds:
        with contextlib.chdir(tmp_path / name):
            assert _by_function() is None
        assert _judged(tmp_path / name, tmp_path / name / "out") == "right"


def test_some_hundred_broken_inputs(tmp_path: Path) -> None:
    """Each ends with the right model or one clear sentence; both happen."""
    ends = play(Playground(tmp_path), range(400))
    assert ends["refused"] > 200
    assert ends["right"] > 40
    assert ends["not judged"] < 20


@pytest.mark.slow
def test_twenty_thousand_broken_inputs(tmp_path: Path) -> None:
    """Each ends with the right model or one clear sentence; both happen."""
    ends = play(Playground(tmp_path), range(1000, 21_000))
    assert ends["refused"] > 10_000
    assert ends["right"] > 2_000
    assert ends["not judged"] < 1_000
