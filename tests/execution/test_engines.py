"""Tests of mixmerge.execution.engines: which engine a name stands for."""

import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import ResourceError, SpecError
from mixmerge.execution import engines
from mixmerge.execution.engines import engine_by_name
from mixmerge.execution.helpers import HELPERS, helpers_here
from mixmerge.execution.local import LocalEngine
from mixmerge.execution.ray_engine import RayEngine
from mixmerge.execution.slurm_engine import SlurmEngine
from mixmerge.execution.slurm_spec import SlurmSpec
from mixmerge.execution.step import Needs


def test_names_stand_for_engines() -> None:
    """`local` runs on this machine, `slurm` in the cluster that the study names."""
    local = engine_by_name("local", "a:B", workers=1)
    assert isinstance(local, LocalEngine)
    local.close()
    assert isinstance(engine_by_name("slurm", "a:B", slurm=SlurmSpec(cluster="local")), SlurmEngine)


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
    monkeypatch.setattr(engines, "_NVIDIA_GPUS", tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    given: dict[str, Any] = {}
    monkeypatch.setattr(engines, "LocalEngine", lambda _, **options: given.update(options))
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


def test_an_unknown_name_is_refused() -> None:
    """The message has the names that exist."""
    with pytest.raises(SpecError, match=r"--engine moon: .* local, slurm, ray"):
        engine_by_name("moon", "a:B")


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
