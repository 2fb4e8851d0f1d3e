"""Tests of mixmerge.study.steps.merge: merges use the machine, and give the same bytes."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.merging.conftest import read_model

from mixmerge.errors import SpecError
from mixmerge.execution.environment import CORES
from mixmerge.execution.step import Task
from mixmerge.files import write_json
from mixmerge.fingerprint import folder_fingerprint
from mixmerge.merging.models.adapter import AdaptedCheckpoint
from mixmerge.merging.models.checkpoint import Checkpoint
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


INTO = "{density: 0.5}, adapter: {rank: 4}"
LORA = "epochs: 1, batch_size: 16, adapter: {rank: 2}"
"""Of the study's SFT recipe, and of its merge."""


def asking_for_an_adapter(*changes: tuple[str, str]) -> str:
    """Return the study with a merge into an adapter, and with other changes."""
    text = SMALL.replace("{density: 0.5}", INTO)
    for before, after in changes:
        text = text.replace(before, after)
    return text


def test_adapters_are_merged_into_one_and_evaluated_with_it(tmp_path: Path) -> None:
    """The checkpoint is the base with the adapter kept beside it, which is the cut merge."""
    write_model(tmp_path / "base" / "model")
    base = read_model(tmp_path / "base" / "model")
    inputs = {"base": tmp_path / "base", "@adapted": tmp_path / "base"}
    for seed, name in enumerate("ab"):
        rng = np.random.default_rng(seed)
        inputs[name] = tmp_path / name
        shutil.copytree(tmp_path / "base" / "model", tmp_path / name / "model")
        modules = [key.removesuffix(".weight") for key in base if "proj" in key]
        factors = {}
        for module in modules:
            rows, columns = base[f"{module}.weight"].shape
            for key, shape in (("A", (2, columns)), ("B", (rows, 2))):
                values = rng.normal(0, 0.1, shape).astype(np.float32)
                factors[f"base_model.model.{module}.lora_{key}.weight"] = values
        (tmp_path / name / "adapter").mkdir()
        save_file(factors, tmp_path / name / "adapter" / "adapter_model.safetensors")
        config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}
        write_json(tmp_path / name / "adapter" / "adapter_config.json", config)
    models = {"a": {"weight": 0.7}, "b": {"weight": 0.3}}
    settings: dict[str, Any] = {"method": "ties", "models": models, "seed": 1}
    settings |= {"parameters": {"density": 0.5}, "adapter": {"rank": 3}}
    out = tmp_path / "out"
    HANDLERS["merge"](Task("merge", "m", settings, inputs, {}, {}, out, tmp_path / "c"), silent)
    adapted = AdaptedCheckpoint(Checkpoint("base", tmp_path / "base" / "model"), out / "adapter")
    for name, value in read_model(out / "model").items():
        expected = np.empty(value.size, np.float32)
        adapted.source(name).read(0, expected)
        stored = adapted.tensors[name].dtype
        tolerance = {"rtol": 1e-2, "atol": 1e-3} if stored != "F32" else {"rtol": 0, "atol": 0}
        np.testing.assert_allclose(value.reshape(-1), expected, **tolerance, err_msg=name)
    assert (out / "model" / "tokenizer_config.json").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ((), "`sft-0` is not trained with an `adapter`, so it cannot be merged into one"),
        (
            (("epochs: 1, batch_size: 16", LORA), ("safety-100}", "safety-100, start: sft-15}")),
            "adapters of different checkpoints .*: sft-0 of base, sft-100 of sft-15",
        ),
        (
            (("epochs: 1, batch_size: 16", LORA), (INTO, f"{INTO}, base: sft-15")),
            "these are adapters of `base`; `base` must be that",
        ),
        (((INTO, INTO.replace("4", "0")),), "must be `exact` or a whole number above 0"),
    ],
)
def test_only_adapters_of_one_checkpoint_are_merged_into_one(
    changes: tuple[tuple[str, str], ...], message: str
) -> None:
    """A study says so when it is read."""
    with pytest.raises(SpecError, match=message):
        parse_study(asking_for_an_adapter(*changes), "small.yaml")


def test_a_merge_of_adapters_reads_what_they_adapt() -> None:
    """The model that the adapters were trained on is an input; other merges stay the same step."""
    text = asking_for_an_adapter(("epochs: 1, batch_size: 16", LORA))
    found = {step.id: step for step in steps(parse_study(text, "small.yaml"))}
    assert found["merge/sft-dare-ties"].inputs["@adapted"] == "base/base"
    plain = {step.id: step for step in steps(parse_study(SMALL, "small.yaml"))}
    assert "adapter" not in plain["merge/sft-dare-ties"].settings
