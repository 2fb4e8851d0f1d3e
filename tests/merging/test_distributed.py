"""Tests of mixmerge.merging.distributed: with helpers, the same bytes as from one process."""

import hashlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.durable import held, take_lock
from mixmerge.merging.distributed import help_out
from mixmerge.merging.engine import merge
from mixmerge.merging.recipes.recipe import MergeRecipe
from mixmerge.merging.recipes.recipe_file import recipe_text

Recipes = Callable[..., MergeRecipe]

SHARD = 1_700_000


def digests(folder: Path) -> dict[str, str]:
    """Return the hash of every file."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


@pytest.fixture
def recipe_file(recipe: Recipes, model: Any, tmp_path: Path) -> Path:
    """A merge with random draws of twelve tensors in six files."""
    models = {}
    for name, seed in (("a", 1), ("b", 2), ("base", 3)):
        rng = np.random.default_rng(seed)
        sizes = {f"model.layers.{n}.weight": (400, 500) for n in range(12)}
        tensors = {key: rng.normal(size=size).astype(np.float32) for key, size in sizes.items()}
        models[name] = model(name, tensors)
    base = models.pop("base")
    file = tmp_path / "recipe.yml"
    file.write_text(recipe_text(recipe("dare_ties", models, base, parameters={"density": 0.5})))
    return file


class StandIn:
    """Helpers in this process; subclasses say what they do when they are asked for."""

    stopped = False

    def start(self, command: Sequence[str], count: int) -> None:
        self.job, self.count = Path(command[-1]), count

    def stop(self) -> None:
        self.stopped = True


def test_helpers_write_the_same_bytes(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that helpers have written alone, from another folder, is that of one process."""

    class Eager(StandIn):
        def start(self, command: Sequence[str], count: int) -> None:
            super().start(command, count)
            monkeypatch.chdir("/")
            help_out(self.job)

    merge(recipe_file, tmp_path / "alone", seed=3, shard_size=SHARD)
    helpers = Eager()
    monkeypatch.chdir(tmp_path)
    merge(recipe_file, tmp_path / "together", seed=3, shard_size=SHARD, helpers=helpers)
    assert helpers.count == 6
    assert helpers.stopped
    assert digests(tmp_path / "together") == digests(tmp_path / "alone")


def test_a_file_whose_helper_is_lost_is_written_again(recipe_file: Path, tmp_path: Path) -> None:
    """Half a file, claimed by a helper that has ended, is written by the process that merges."""

    class Lost(StandIn):
        def start(self, command: Sequence[str], count: int) -> None:
            super().start(command, count)
            name = "model-00002-of-00006.safetensors"
            (self.job.parent / name).touch()
            (self.job.parent.parent / f"{name}.partial").write_bytes(b"half")

    merge(recipe_file, tmp_path / "alone", seed=3, shard_size=SHARD)
    merge(recipe_file, tmp_path / "together", seed=3, shard_size=SHARD, helpers=Lost())
    assert digests(tmp_path / "together") == digests(tmp_path / "alone")


def test_a_file_that_a_helper_writes_is_waited_for(recipe_file: Path, tmp_path: Path) -> None:
    """A claimed file is left to its helper as long as that one runs."""

    class Slow(StandIn):
        def start(self, command: Sequence[str], count: int) -> None:
            super().start(command, count)
            self.helper = threading.Timer(1.0, self.finish)
            name = "model-00004-of-00006.safetensors"
            self.claim = (self.job.parent / name).open("ab")
            assert take_lock(self.claim.fileno(), tmp_path)
            self.file = self.job.parent.parent / name
            self.helper.start()

        def finish(self) -> None:
            shutil.copyfile(tmp_path / "alone" / self.file.name, self.file)
            self.claim.close()

    merge(recipe_file, tmp_path / "alone", seed=3, shard_size=SHARD)
    helpers = Slow()
    merge(recipe_file, tmp_path / "together", seed=3, shard_size=SHARD, helpers=helpers)
    helpers.helper.join()
    assert digests(tmp_path / "together") == digests(tmp_path / "alone")


def test_what_a_killed_merge_left_is_forgotten(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a merge with helpers is cut off, one without them goes on from its whole files."""

    class Unlucky(StandIn):
        def start(self, command: Sequence[str], count: int) -> None:
            super().start(command, count)
            help_out(self.job)
            shutil.copytree(self.job.parent, tmp_path / "claims")
            raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    merge(recipe_file, tmp_path / "alone", seed=3, shard_size=SHARD)
    with pytest.raises(KeyboardInterrupt):
        merge(recipe_file, tmp_path / "out", seed=3, shard_size=SHARD, helpers=Unlucky())
    shutil.copytree(tmp_path / "claims", tmp_path / "out.partial" / ".claims", dirs_exist_ok=True)
    merge(recipe_file, tmp_path / "out", seed=3, shard_size=SHARD)
    assert digests(tmp_path / "out") == digests(tmp_path / "alone")


def helper_processes(folder: Path) -> Iterator[int]:
    """The processes that help with a merge below a folder."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            continue
        if any(word.startswith(f"{folder}/") and word.endswith("job.json") for word in words):
            yield int(entry.name)


@pytest.mark.slow
def test_on_ray_a_worker_is_killed_in_the_middle(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On three workers of a real Ray cluster, one killed while it writes: the same bytes."""
    from mixmerge.execution.engines.ray import RayHelpers

    merge(recipe_file, tmp_path / "alone", seed=3, shard_size=SHARD)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    killed: list[int] = []
    finished = threading.Event()

    def kill_one() -> None:
        while not finished.is_set() and not killed:
            claims = tmp_path / "together.partial" / ".claims"
            claimed = any(map(held, claims.glob("model-*")))
            for pid in helper_processes(tmp_path) if claimed else ():
                parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
                os.kill(parent, signal.SIGKILL)
                killed.append(pid)
                break
            time.sleep(0.01)

    class Slowly(RayHelpers):
        """The process that merges waits until helpers have begun."""

        def start(self, command: Sequence[str], count: int) -> None:
            super().start(command, count)
            deadline = time.monotonic() + 60
            while not killed and time.monotonic() < deadline:
                time.sleep(0.01)

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        out, helpers = tmp_path / "together", Slowly(cpus=3)
        merge(recipe_file, out, seed=3, shard_size=SHARD, helpers=helpers)
    finally:
        finished.set()
        killer.join()
    assert killed
    assert digests(tmp_path / "together") == digests(tmp_path / "alone")
    assert not list(helper_processes(tmp_path))
