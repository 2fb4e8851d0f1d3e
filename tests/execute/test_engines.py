"""Tests of mixmerge.execute.engines: which engine a name stands for."""

import subprocess
import sys

import pytest

from mixmerge.errors import ResourceError, SpecError
from mixmerge.execute.engines import engine_by_name
from mixmerge.execute.helpers import HELPERS, helpers_here
from mixmerge.execute.local import LocalEngine
from mixmerge.execute.slurm_engine import SlurmEngine
from mixmerge.execute.slurm_spec import SlurmSpec


def test_names_stand_for_engines() -> None:
    """`local` runs on this machine, `slurm` in the cluster that the study names."""
    local = engine_by_name("local", "a:B", workers=1)
    assert isinstance(local, LocalEngine)
    local.close()
    assert isinstance(engine_by_name("slurm", "a:B", slurm=SlurmSpec(cluster="local")), SlurmEngine)


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
    code = "import mixmerge.execute.engines, sys; print({'ray', 'submitit'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
