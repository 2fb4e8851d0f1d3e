"""Tests of mixmerge.study.steps.merge: merges use the machine, and give the same bytes."""

from pathlib import Path

import pytest

from mixmerge.execution.environment import CORES
from mixmerge.execution.step import Task
from mixmerge.files import write_json
from mixmerge.fingerprint import folder_fingerprint
from mixmerge.progress import silent
from mixmerge.study.check import parse_study
from mixmerge.study.steps import HANDLERS, steps
from mixmerge.testbed.model import write_model

SMALL = (Path(__file__).parents[1] / "data" / "small.yaml").read_text()


def test_placement_of_merges_is_not_meaning() -> None:
    """More threads are asked of the engine, and the step is the same step."""
    plain, placed = (
        {step.id: step for step in steps(parse_study(SMALL + extra, "small.yaml"))}
        for extra in ("", "placement: {merge: {threads: 16}}\n")
    )
    name = "merge/sft-dare-ties"
    assert placed[name].settings == plain[name].settings
    assert (plain[name].needs.cpus, placed[name].needs.cpus) == (4, 16)


def test_any_number_of_threads_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merge that draws at random writes the same folder with one thread and with several."""
    write_model(tmp_path / "model")
    inputs = {}
    for name in ("base", "a", "b"):
        inputs[name] = tmp_path / name
        write_json(inputs[name] / "model.json", {"path": str(tmp_path / "model")})
    models = {"a": {"weight": 0.7}, "b": {"weight": 0.3}}
    settings = {"method": "dare_ties", "models": models, "parameters": {"density": 0.5}, "seed": 1}
    found = set()
    for threads, cores in ((1, "8"), (8, "8"), (8, "2")):
        monkeypatch.setenv(CORES, cores)
        out = tmp_path / f"{threads}-{cores}"
        task = Task("merge", "m", settings, inputs, {}, {"threads": threads}, out, tmp_path / "c")
        HANDLERS["merge"](task, silent)
        found.add(folder_fingerprint(out / "model"))
    assert len(found) == 1
