"""Adapters merged into one adapter, against the merge of the whole models and against peft."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.merging.adapters.conftest import MakeAdapter, merged_by_peft
from tests.merging.conftest import read_model

from mixmerge.merging.engine import merge
from mixmerge.merging.kernels import Array

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning"),
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings(r"ignore:.*LoRA tensor\(s\) have invalid shape"),  # of a bias
]

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {"r": 2, "lora_alpha": 6, "target_modules": ["q_proj", "down_proj"]},
    "rslora": {
        "r": 3,
        "lora_alpha": 2,
        "use_rslora": True,
        "target_modules": ["q_proj", "up_proj"],
    },
}


@pytest.fixture
def pair(base: Path, adapter: MakeAdapter) -> list[Path]:
    """Write two adapters of one base that overlap in some modules."""
    return [adapter(name, base, at, **own) for at, (name, own) in enumerate(SETTINGS.items())]


def recipe(models: list[Path], base: Path | None, **keys: Any) -> dict[str, Any]:
    """Return a mergekit recipe with weights 0.7 and 0.5."""
    weights = (0.7, 0.5)
    entries = [
        {"model": str(model), "parameters": {"weight": weight}}
        for model, weight in zip(models, weights, strict=True)
    ]
    return {"models": entries, **({"base_model": str(base)} if base else {}), **keys}


def relative(ours: Array, theirs: Array) -> float:
    """Return the relative distance of two tensors."""
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


@pytest.mark.parametrize(
    ("method", "weights"), [("task_arithmetic", (0.7, 0.5)), ("linear", (0.7 / 1.2, 0.5 / 1.2))]
)
def test_a_sum_is_that_of_the_changes_in_float64(
    method: str, weights: tuple[float, float], base: Path, pair: list[Path], tmp_path: Path
) -> None:
    """Concatenated factors with folded scales give W + sum of weighted changes, to rounding."""
    own = base if method == "task_arithmetic" else None
    merge(recipe(pair, own, merge_method=method, adapter={"rank": "exact"}), tmp_path / "out")
    before = {
        name: value.double().numpy()
        for name, value in load_file(base / "model.safetensors").items()
    }
    parts = [merged_by_peft(base, each) for each in pair]
    ours = merged_by_peft(base, tmp_path / "out")
    for name, value in before.items():
        changes = [w * (part[name] - value) for w, part in zip(weights, parts, strict=True)]
        assert relative(ours[name], value + sum(changes)) < 1e-7, name
        if any(np.any(change) for change in changes):
            assert relative(ours[name] - value, np.asarray(sum(changes))) < 1e-7, name
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    ranks = {name.rpartition(".")[2]: rank for name, rank in config["rank_pattern"].items()}
    assert {config["r"], *ranks.values()} == {2, 3, 5}


@pytest.mark.parametrize("method", ["ties", "dare_ties", "slerp", "task_arithmetic"])
def test_it_is_the_merge_of_the_whole_models(
    method: str, base: Path, pair: list[Path], tmp_path: Path
) -> None:
    """At full rank the adapter gives back what merging the whole models gives, with the same draws."""
    keys = {"merge_method": method}
    if "dare" in method or method == "ties":
        keys |= {"parameters": {"density": 0.6}}
    if method == "slerp":
        keys |= {"parameters": {"t": 0.3}}
        made = recipe(pair, pair[0], **keys)
        for entry in made["models"]:
            del entry["parameters"]
    else:
        made = recipe(pair, base, **keys)
    merge(made, tmp_path / "whole", seed=3)
    notes = merge({**made, "adapter": {"rank": 16}}, tmp_path / "out", seed=3)
    assert "relative Frobenius error" in notes[-1]
    merge(
        {"merge_method": "passthrough", "models": [{"model": f"{base}+{tmp_path / 'out'}"}]},
        tmp_path / "again",
    )
    theirs, ours = read_model(tmp_path / "whole"), read_model(tmp_path / "again")
    for name, value in theirs.items():
        assert relative(ours[name], value) < 1e-6, name
