"""A merge that is killed, starved of disk, or has its inputs pulled away."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.disks import mounted

from mixmerge.errors import ModelError, ResourceError
from mixmerge.merging.engine import merge
from mixmerge.merging.models.sources import WeightFile
from mixmerge.merging.output.shards import Shard, ShardFile
from mixmerge.merging.recipes.recipe import MergeRecipe
from mixmerge.merging.recipes.recipe_file import recipe_text

Recipes = Callable[..., MergeRecipe]


def digests(folder: Path) -> dict[str, str]:
    """Return the hash of every file."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


@pytest.fixture
def large(model: Any) -> dict[str, Path]:
    """Two models of twenty tensors of 200,000 elements each, so that a merge takes a while."""
    return {
        name: model(
            name,
            {
                f"model.layers.{layer}.weight": rng.normal(size=(400, 500)).astype(np.float32)
                for layer in range(20)
            },
        )
        for name, rng in (("a", np.random.default_rng(1)), ("b", np.random.default_rng(2)))
    }


@pytest.mark.slow
def test_a_merge_killed_at_random_moments_ends_with_the_same_bytes(
    recipe: Recipes, large: dict[str, Path], model: Any, tmp_path: Path
) -> None:
    """Thirty SIGKILLs, each followed by the same command: never half a model, and then the same."""
    base = model("base", {f"model.layers.{n}.weight": np.zeros((400, 500)) for n in range(20)})
    (tmp_path / "recipe.yml").write_text(
        recipe_text(recipe("dare_ties", large, base, parameters={"density": 0.5}))
    )
    merge(tmp_path / "recipe.yml", tmp_path / "undisturbed", seed=3, shard_size=1_700_000)
    wanted = digests(tmp_path / "undisturbed")
    out = tmp_path / "out"
    arguments = [str(tmp_path / "recipe.yml"), str(out), "--seed", "3", "--shard-size", "1.7MB"]
    command = [sys.executable, "-m", "mixmerge", "merge", *arguments]
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    whole = time.perf_counter() - begun
    assert digests(out) == wanted
    moments = random.Random(0)
    killed = 0
    for _ in range(90):
        shutil.rmtree(out, ignore_errors=True)
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # Half of the time is start-up, in which nothing can go wrong.
        pause = whole * moments.uniform(0.4, 1.0)
        time.sleep(pause)
        running.send_signal(signal.SIGKILL)
        if running.wait() == -signal.SIGKILL:
            killed += 1
        else:  # it had ended: the machine is faster than it was
            whole = pause
        assert not out.exists() or digests(out) == wanted
        if killed == 30:
            break
    assert killed == 30
    subprocess.run(command, check=True, capture_output=True)
    assert digests(out) == wanted
    assert not out.with_name("out.partial").exists()


def test_whole_files_are_not_written_again(
    recipe: Recipes, large: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an interruption only the missing files are written, and the result is the same."""
    made = recipe("linear", large)
    merge(made, tmp_path / "undisturbed", shard_size=2_000_000)

    def interrupt(done: float, total: float, what: str) -> None:  # noqa: ARG001
        if done > total / 2:
            raise KeyboardInterrupt("stop")

    with pytest.raises(KeyboardInterrupt, match="stop"):
        merge(made, tmp_path / "out", shard_size=2_000_000, threads=1, progress=interrupt)
    kept = {path.name for path in (tmp_path / "out.partial").glob("*.safetensors")}
    begun: list[str] = []
    start = ShardFile.__init__

    def noted(self: ShardFile, folder: Path, shard: Shard, *args: Any, **more: Any) -> None:
        begun.append(shard.file)
        start(self, folder, shard, *args, **more)

    monkeypatch.setattr(ShardFile, "__init__", noted)
    merge(made, tmp_path / "out", shard_size=2_000_000)
    assert kept
    assert not kept & set(begun)
    assert len(kept) + len(begun) == 10
    assert digests(tmp_path / "out") == digests(tmp_path / "undisturbed")


def test_a_file_that_shrinks_is_an_error_and_not_a_crash(
    recipe: Recipes, large: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input that is cut off between planning and reading is named; nothing is written."""
    read = WeightFile.read
    calls: list[int] = []

    def cut(self: WeightFile, start: int, buffer: memoryview) -> None:
        calls.append(1)
        if len(calls) == 100:
            os.truncate(large["b"] / "model.safetensors", 10_000)
        read(self, start, buffer)

    monkeypatch.setattr(WeightFile, "read", cut)
    with pytest.raises(ModelError, match=r"model\.safetensors: became shorter while it was read"):
        merge(recipe("linear", large), tmp_path / "out", threads=1)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


def test_a_file_that_is_written_to_is_refused(
    recipe: Recipes, large: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that leaves the size alone is seen by the time of the change."""
    read = WeightFile.read
    file = large["a"] / "model.safetensors"

    def touch(self: WeightFile, start: int, buffer: memoryview) -> None:
        os.utime(file, ns=(1, 1))
        read(self, start, buffer)

    monkeypatch.setattr(WeightFile, "read", touch)
    with pytest.raises(ModelError, match=r"model\.safetensors: changed while it was merged"):
        merge(recipe("linear", large), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A real file system of 18 MB."""
    with mounted(tmp_path / "small", "18m") as place:
        yield place


def test_a_full_disk_keeps_what_is_whole(
    recipe: Recipes, large: dict[str, Path], tmp_path: Path, small_disk: Path
) -> None:
    """The disk fills up in the middle; after room is made the merge goes on from there."""
    made = recipe("linear", large)
    merge(made, tmp_path / "undisturbed", shard_size=2_000_000)

    def fill(done: float, total: float, what: str) -> None:  # noqa: ARG001
        if done > total / 3 and not (small_disk / "other").exists():
            with (small_disk / "other").open("wb") as stream:
                stream.write(b"\1" * 3_000_000)

    with pytest.raises(ResourceError, match="the disk is full"):
        merge(made, small_disk / "out", shard_size=2_000_000, progress=fill)
    kept = list((small_disk / "out.partial").glob("*.safetensors"))
    assert kept
    assert not list((small_disk / "out.partial").glob("*.partial"))
    (small_disk / "other").unlink()
    merge(made, small_disk / "out", shard_size=2_000_000)
    assert digests(small_disk / "out") == digests(tmp_path / "undisturbed")


def test_a_disk_that_is_too_small_is_seen_beforehand(
    recipe: Recipes, large: dict[str, Path], small_disk: Path
) -> None:
    """No byte is written where the whole cannot fit."""
    (small_disk / "other").write_bytes(b"\1" * 6_000_000)
    with pytest.raises(ResourceError, match=r"needs 0\.02 GB more and the disk has 0\.01 GB free"):
        merge(recipe("linear", large, dtype="float32"), small_disk / "out")
    assert [path.name for path in small_disk.iterdir()] == ["other"]
