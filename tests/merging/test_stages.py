"""Recipes of several stages, planned before anything is merged."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixmerge.errors import ModelError
from mixmerge.merging.engine import RESULT, plan_stages
from mixmerge.merging.recipes.recipe import MergeRecipe
from mixmerge.merging.recipes.recipe_file import read_recipe


def stage(name: str | None, *models: str | Path, **more: Any) -> dict[str, Any]:
    """Return one document: a linear merge with equal weights."""
    return {
        **({"name": name} if name else {}),
        "merge_method": "linear",
        "models": [{"model": str(model)} for model in models],
        "parameters": {"weight": 1},
        **more,
    }


def recipe(folder: Path, *documents: dict[str, Any]) -> MergeRecipe:
    """Return the recipe of a file with several documents."""
    (folder / "r.yml").write_text(yaml.safe_dump_all(documents))
    return read_recipe(folder / "r.yml")


def stacked(model: Path, low: int, high: int) -> dict[str, Any]:
    """Return what turns a stage into one of layers of a single model."""
    source = {"model": str(model), "layer_range": [low, high]}
    return {"models": None, "slices": [{"sources": [source]}] * 2}


def test_later_stages_are_planned_with_what_earlier_ones_will_be(
    model: Any, weights: Any, tmp_path: Path
) -> None:
    """Names, shapes, types and configuration of a stage are known before it has weights."""
    a = model("a", weights(1), config={"num_hidden_layers": 3})
    deep = stage("deep", a, dtype="bfloat16", **stacked(a, 0, 2))
    plans = plan_stages(recipe(tmp_path, stage(None, "deeper"), stage("deeper", "deep"), deep))
    assert list(plans) == ["deep", "deeper", RESULT]
    outputs = [[row.output for row in plan.rows] for plan in plans.values()]
    assert outputs[0] == outputs[1] == outputs[2]
    assert {output.dtype for output in outputs[2]} == {"BF16"}
    assert plans[RESULT].config["num_hidden_layers"] == 4


def test_a_stage_that_does_not_fit_is_found_before_any_is_merged(
    model: Any, weights: Any, tmp_path: Path
) -> None:
    """The result would merge four layers with three."""
    a = model("a", weights(1), config={"num_hidden_layers": 3})
    deep = stage("deep", a, **stacked(a, 0, 2))
    with pytest.raises(ModelError, match=r"model\.layers\.3\..* is in deep and not in .*/a"):
        plan_stages(recipe(tmp_path, deep, stage(None, "deep", a)))


def test_the_tokenizer_of_a_stage_is_known_ahead(model: Any, weights: Any, tmp_path: Path) -> None:
    """A stage that unites two vocabularies fits only models with the united one."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    folders = []
    for seed, last in enumerate("xy"):
        folder = model(str(seed), weights(seed), config={"vocab_size": 5})
        ids = {token: number for number, token in enumerate(["a", "b", "c", "d", last])}
        Tokenizer(WordLevel(ids, unk_token="a")).save(str(folder / "tokenizer.json"))
        folders.append(folder)
    union = stage("union", *folders, tokenizer_source="union")
    plans = plan_stages(recipe(tmp_path, union, stage(None, "union")))
    assert plans[RESULT].rows[0].output.shape == (6, 4)
    with pytest.raises(ModelError, match="the tokenizers differ: token 'y' has id 5 in union"):
        plan_stages(recipe(tmp_path, union, stage(None, "union", folders[0])))


def test_a_stage_may_get_an_adapter(model: Any, weights: Any, tmp_path: Path) -> None:
    """The adapter is checked against the stage's tensors."""
    a = model("a", weights(1))
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 1}))
    with pytest.raises(ModelError, match="adapter"):
        plan_stages(recipe(tmp_path, stage("one", a), stage(None, f"one+{adapter}")))
