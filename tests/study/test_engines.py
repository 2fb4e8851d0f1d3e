"""Tests of whole studies on other engines: the results of this machine, to the byte."""

import subprocess
import sys
from pathlib import Path

import pytest

import mixmerge

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small study, run with one worker."""
    out = tmp_path_factory.mktemp("serial") / "small"
    mixmerge.run(SMALL, out, workers=1)
    return out


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_two_workers_give_the_results_of_one(engine: str, serial: Path, tmp_path: Path) -> None:
    """The small study on two workers has the same `results.json` as serially."""
    out = tmp_path / "run"
    command = [sys.executable, "-m", "mixmerge", "run", str(SMALL), "--out", str(out)]
    command += ["--engine", engine, "--workers", "2"]
    subprocess.run(command, check=True, capture_output=True)
    assert (out / "results.json").read_bytes() == (serial / "results.json").read_bytes()
    models = sorted(path.relative_to(out) for path in out.glob("*/*/model/model.safetensors"))
    assert len(models) == 6
    for model in models:
        assert (out / model).read_bytes() == (serial / model).read_bytes()


@pytest.mark.slow
def test_a_study_says_where_its_jobs_run(tmp_path: Path) -> None:
    """With `placement: slurm`, steps of a study run as jobs; here as processes of this machine."""
    study = tmp_path / "study.yaml"
    study.write_text(SMALL.read_text() + "\nplacement: {slurm: {cluster: local}}\n")
    mixmerge.run(study, tmp_path / "run", engine="slurm", only=["mix/safety-0-chats"])
    assert list(tmp_path.glob("run/mix/safety-0-chats-*/record.json"))
    assert list(tmp_path.glob("run/cache/slurm/*"))
