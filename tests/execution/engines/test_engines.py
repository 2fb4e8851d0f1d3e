"""Tests of mixmerge.execution.engines: which engine a name stands for."""

import subprocess
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mixmerge.errors import ResourceError, SpecError
from mixmerge.execution.engine import HELPERS, EngineSpec
from mixmerge.execution.engines import (
    ENGINES,
    engine_by_name,
    helpers_by_name,
    helpers_here,
    local,
    with_engines,
)
from mixmerge.execution.engines.local import LocalEngine
from mixmerge.execution.engines.ray import RayEngine
from mixmerge.execution.engines.slurm import SlurmEngine
from mixmerge.execution.schedule import run
from mixmerge.execution.step import Needs, Step
from mixmerge.execution.store import Store
from mixmerge.execution.worker import handlers_from, run_step
from mixmerge.spec_model import SpecModel


@with_engines
class Placement(SpecModel):
    """A section of a study that has more than engines in it."""

    train: bool = True


HERE = Placement.model_validate({"slurm": {"cluster": "local"}})


def test_names_stand_for_engines() -> None:
    """`local` runs on this machine, `slurm` in the cluster that the study names."""
    engine = engine_by_name("local", "a:B", workers=1)
    assert isinstance(engine, LocalEngine)
    engine.close()
    assert isinstance(engine_by_name("slurm", "a:B", placement=HERE), SlurmEngine)


@pytest.mark.parametrize(
    ("visible", "devices"),
    [
        ("2,3", ["2", "3"]),
        ("GPU-1a2b, MIG-3c", ["GPU-1a2b", "MIG-3c"]),
        ("-1", []),
        ("1,-1,0", ["1"]),
        ("", []),
        (None, ["0", "1"]),
    ],
)
def test_the_local_engine_hands_out_the_users_devices(
    visible: str | None, devices: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine has the devices of CUDA_VISIBLE_DEVICES, by name, or else all of the machine."""
    for gpu in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / gpu).mkdir()
    monkeypatch.setattr(local, "_NVIDIA_GPUS", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    given: dict[str, Any] = {}
    monkeypatch.setattr(local, "LocalEngine", lambda _, **options: given.update(options))
    engine_by_name("local", "a:B", workers=1)
    assert given["gpus"] == devices


class SmallCluster(types.ModuleType):
    """A stand-in for `ray`: its nodes, and a note of what each task asks for."""

    def __init__(self, nodes: list[dict[str, float]]) -> None:
        super().__init__("ray")
        self.asked: list[dict[str, float]] = []
        self.nodes = lambda: [{"Resources": node} for node in nodes]
        self.init = lambda **_: None
        self.get_runtime_context = lambda: types.SimpleNamespace(gcs_address="here:1")

    def remote(self, *, max_retries: int, **asked: float) -> Any:
        assert max_retries == 0
        self.asked.append(asked)
        return lambda _: types.SimpleNamespace(remote=lambda *_: None)


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus"),
    [
        ([{"CPU": 1}], 1, 0),
        ([{"CPU": 64}, {"CPU": 4, "GPU": 1}], 4, 1),
        ([{}], 8, 0),
    ],
    ids=["one core", "few cores beside the GPUs", "nodes yet to come"],
)
def test_ray_is_asked_for_no_more_than_a_node_has(
    nodes: list[dict[str, float]],
    cpus: int,
    gpus: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A step that needs more cores than any node has gets those of one, instead of waiting."""
    ray = SmallCluster(nodes)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(RayEngine, "_start_group", lambda *given: ray.asked.append(given[2]))
    engine_by_name("ray", "a:B", workers=1).start(tmp_path, Needs(cpus=8, gpus=2))
    assert ray.asked == [{"num_cpus": cpus, "num_gpus": gpus}]


def test_slurm_needs_its_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without SLURM the message says where to go."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ResourceError, match=r"no `srun` here.*login node"):
        engine_by_name("slurm", "a:B")


@pytest.mark.parametrize("name", ["moon", "train"])
def test_an_unknown_name_is_refused(name: str) -> None:
    """The message has the names that exist; other fields of a placement are no engines."""
    with pytest.raises(SpecError, match=rf"--engine {name}: .* local, slurm, ray"):
        engine_by_name(name, "a:B", placement=HERE)
    with pytest.raises(SpecError, match=rf"--engine {name}: .* local, slurm, ray"):
        helpers_by_name(name)


class Loop:
    """An engine that someone adds: it runs each step at once, in this process."""

    def __init__(self, entry: str, most: int) -> None:
        self.entry, self.most, self.ran = entry, most, list[str]()

    def room_for(self, needs: Needs) -> int:
        return int(needs.cpus <= self.most)

    def start(self, folder: Path, needs: Needs) -> int:
        self.ran.append(folder.parent.name)
        return run_step(folder, handlers_from(self.entry))

    def poll(self, handle: int) -> int:
        return handle

    def stop(self, handle: int) -> None:
        pass

    def close(self) -> None:
        pass


class LoopSpec(EngineSpec):
    """Its settings."""

    most: int = 1

    def build(self, entry: str, *, cpus: int, preload: Sequence[str]) -> Loop:
        return Loop(entry, self.most)


def test_a_new_engine_is_one_class_and_one_line(
    tmp_path: Path, toy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that is registered has its section of a placement, and runs a graph of steps."""
    monkeypatch.setitem(ENGINES, "loop", LoopSpec)
    placement = with_engines(SpecModel).model_validate({"loop": {"most": 3}})
    engine = engine_by_name("loop", toy, placement=placement)
    assert isinstance(engine, Loop)
    assert engine.most == 3
    steps = [Step("write", "b", inputs={"in": "write/a"}), Step("write", "a", {"text": "x"})]
    outcome = run(steps, Store(tmp_path), engine)
    assert (outcome.done["write/b"] / "out.txt").read_text() == "x"
    assert engine.ran == ["write", "write"]
    assert helpers_by_name("loop") is None


def test_a_section_of_an_engine_is_checked() -> None:
    """A wrong key in the settings of an engine is refused as anywhere else in a study."""
    with pytest.raises(ValidationError, match=r"slurm\.queue\s+Extra inputs are not permitted"):
        Placement.model_validate({"slurm": {"queue": "gpu"}})


@pytest.mark.parametrize(("name", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_missing_package_is_said(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the optional package the message says what to install."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ResourceError, match=rf"pip install 'mixmerge\[{name}\]'"):
        engine_by_name(name, "a:B", workers=1)


def test_no_engine_no_helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that runs on this machine has no helpers."""
    monkeypatch.delenv(HELPERS, raising=False)
    assert helpers_here() is None


def test_choosing_an_engine_is_light() -> None:
    """A plan can read the name of an engine without loading any cluster's package."""
    code = "import mixmerge.execution.engines, sys; print({'ray', 'submitit'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
