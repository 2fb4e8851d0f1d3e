"""Every method has a recipe."""

from pathlib import Path

import pytest
from benchmarks.recipes import METHODS, RANDOM, RECIPES, inputs, recipe


def test_every_method_has_a_recipe() -> None:
    """The twenty methods each have a recipe of their name, and every variant names one of them."""
    assert len(METHODS) == 20
    assert {content["merge_method"] for content in RECIPES.values()} == set(METHODS)
    assert set(METHODS) > RANDOM


@pytest.mark.parametrize("name", RECIPES)
def test_models_are_put_to_their_folder(name: str, tmp_path: Path) -> None:
    """Every model of a recipe is a path below the folder, and the type is set."""
    content = recipe(name, tmp_path, "float32")
    assert content["dtype"] == "float32"
    assert inputs(name)
    assert all(str(tmp_path / model) in str(content) for model in inputs(name))
    used = [entry["model"] for entry in content.get("models", [])]
    assert all(Path(model).parent == tmp_path for model in used)


def test_inputs_are_named_once() -> None:
    """A base that is also listed as a model counts once."""
    assert inputs("slerp") == ["a", "b"]
    assert sorted(inputs("arcee_fusion")) == ["a", "base"]
    assert inputs("passthrough, slices") == ["a", "b"]
