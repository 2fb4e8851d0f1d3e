"""Tests of mixmerge.study.doctor and of its command."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixmerge.cli.main import exit_code
from mixmerge.study.doctor import doctor
from mixmerge.study.memory import gpus
from mixmerge.study.packages import extras

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"


def facts(**arguments: Any) -> dict[str, tuple[str, str]]:
    return {fact.name: (fact.value, fact.note) for fact in doctor(**arguments).facts}


def with_axis(path: Path, judge: Any, **changes: Any) -> Path:
    """Write the small study with another axis, which a judge grades."""
    study = yaml.safe_load(SMALL.read_text())
    prompts = {"testbed": "general"}
    study["evaluate"]["axes"]["own"] = {"prompts": prompts, "judge": judge, "measure": "mean"}
    path.write_text(yaml.safe_dump(study | changes))
    return path


def test_this_machine_is_described() -> None:
    """Cores, memory, disk, GPUs, versions and extras each have a line."""
    found = facts()
    assert int(found["cores"][0]) >= 1
    assert float(found["memory"][0].removesuffix(" GB")) > 0.1
    assert found["disk"][0].endswith("GB free")
    assert {"GPU", "Python", "torch", "trl", "SLURM", "sandbox"} <= {*found}


def test_extras_say_what_they_are_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each extra of the distribution names the judges and engines that it serves."""
    found = facts()
    assert {f"extra {name}" for name in extras()} <= {*found}
    assert "`judge json_schema`" in found["extra judges"][1]
    assert found["extra ray"][1].startswith("`--engine ray`")
    monkeypatch.setattr("mixmerge.study.doctor._version", lambda _: None)
    assert facts()["extra slurm"] == ("missing", "`--engine slurm`; pip install 'mixmerge[slurm]'")


def test_no_model_library_is_loaded() -> None:
    """What is installed is known without importing it."""
    code = (
        "import sys, mixmerge\n"
        "assert mixmerge.doctor().ready\n"
        "assert not {'torch', 'transformers', 'datasets', 'ray'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_study_that_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    """The testbed needs nothing that is optional."""
    assert exit_code(["doctor", str(SMALL)]) == 0
    assert "small: nothing is missing here." in capsys.readouterr().out


def test_what_a_study_lacks_is_said_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Packages of judges, backends and trackers, and keys of endpoints, wherever they are named."""
    find = importlib.util.find_spec
    absent = ("jsonschema", "vllm", "trackio")
    monkeypatch.setattr("importlib.util.find_spec", lambda n: None if n in absent else find(n))
    monkeypatch.delenv("JUDGE_KEY", raising=False)
    (tmp_path / "s.json").write_text("{}")
    study = with_axis(tmp_path / "s.yaml", {"json_schema": str(tmp_path / "s.json")})
    read = yaml.safe_load(study.read_text())
    read["evaluate"]["generate"] = {"backend": "vllm"}
    read["tracking"] = {"to": "trackio"}
    url = {"endpoint": "https://judge.test/v1", "model": "m", "api_key_env": "JUDGE_KEY"}
    read["evaluate"]["axes"]["general"]["judge"] = url
    study.write_text(yaml.safe_dump(read))
    assert exit_code(["doctor", str(study), "--json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert not said["ready"]
    text = "\n".join(said["missing"])
    assert "evaluate.axes.own.judge: needs the package jsonschema: pip install" in text
    assert "'mixmerge[judges]'" in text
    assert "evaluate.generate: needs the package vllm: pip install vllm." in text
    assert "tracking: needs the package trackio" in text
    assert "JUDGE_KEY" in text


def test_a_wrong_study_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake in the file has its line, as everywhere."""
    bad = tmp_path / "bad.yaml"
    bad.write_text("base: testbed\ncheckpoint: {}\n")
    assert exit_code(["doctor", str(bad)]) == 2
    assert "line 2: checkpoint: unknown key" in capsys.readouterr().err


def test_gpus_are_those_that_the_driver_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name and memory of each GPU are read; without a driver there is none."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA H100, SXM, 81559'\necho '[N/A], [N/A]'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    gpus.cache_clear()
    assert gpus() == (("NVIDIA H100, SXM", 81559 * 2**20),)
    program.unlink()
    gpus.cache_clear()
    assert gpus() == ()
