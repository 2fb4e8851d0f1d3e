"""Behaviour of merges that come before a merge."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.errors import ModelError, SpecError
from mixmerge.merging.engine import merge
from mixmerge.merging.kernels import Array

Weights = Callable[..., dict[str, Array]]
Loader = Callable[[Path], dict[str, Array]]

RECIPE = """
name: first
merge_method: linear
models:
  - {{model: {a}, parameters: {{weight: 1}}}}
  - {{model: {b}, parameters: {{weight: 1}}}}
---
merge_method: linear
models:
  - {{model: first, parameters: {{weight: 1}}}}
  - {{model: {c}, parameters: {{weight: 3}}}}
"""


@pytest.fixture
def recipe(model: Any, weights: Weights, tmp_path: Path) -> Path:
    """A mean of two models, of which a quarter is merged with a third model."""
    folders = {name: model(name, weights(seed)) for seed, name in enumerate("abc")}
    (tmp_path / "recipe.yml").write_text(RECIPE.format(**folders))
    return tmp_path / "recipe.yml"


def test_a_stage_is_merged_before_what_uses_it(
    recipe: Path, weights: Weights, load: Loader, tmp_path: Path
) -> None:
    """The result is what the two merges give one after the other; the stage does not stay."""
    merge(recipe, tmp_path / "out")
    a, b, c = (weights(seed) for seed in range(3))
    for name, merged in load(tmp_path / "out").items():
        mean = ((a[name] + b[name]) / 2).astype(np.float32)
        assert np.allclose(merged, 0.25 * mean + 0.75 * c[name], rtol=0, atol=1e-6)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "c", "out", "recipe.yml"}


def test_a_finished_stage_is_not_merged_again(recipe: Path, tmp_path: Path) -> None:
    """After an interruption in the second merge the first one is found again."""
    said: list[str] = []

    def interrupt(done: float, total: float, what: str) -> None:  # noqa: ARG001
        if (tmp_path / "out.stages" / "first").exists():
            raise KeyboardInterrupt("stop")

    with pytest.raises(KeyboardInterrupt, match="stop"):
        merge(recipe, tmp_path / "out", progress=interrupt)
    made = (tmp_path / "out.stages" / "first" / "model.safetensors").stat().st_mtime_ns

    def look(done: float, total: float, what: str) -> None:  # noqa: ARG001
        file = tmp_path / "out.stages" / "first" / "model.safetensors"
        said.append("same" if file.stat().st_mtime_ns == made else "new")

    merge(recipe, tmp_path / "out", progress=look)
    assert set(said) == {"same"}
    assert not (tmp_path / "out.stages").exists()


def test_what_a_stage_drops_is_not_all_that_the_next_one_drops(
    model: Any, load: Loader, tmp_path: Path
) -> None:
    """Half of a half is a quarter: each stage draws for itself, whoever writes the files."""
    tensors = {f"model.layers.{layer}.w.weight": np.ones((200, 200)) for layer in range(2)}
    folders = {"x": model("x", tensors)}
    folders["base"] = model("base", {name: 0 * values for name, values in tensors.items()})
    half = """
merge_method: dare_linear
base_model: {base}
parameters: {{rescale: false, weight: 1, density: 0.5}}
models: [{{model: {model}}}]
"""
    thin = half.format(model=folders["x"], **folders)
    twice = half.format(model="thin", **folders)
    (tmp_path / "recipe.yml").write_text(f"name: thin{thin}---{twice}")
    (tmp_path / "once.yml").write_text(thin)
    merge(tmp_path / "recipe.yml", tmp_path / "out", shard_size=1)
    merge(tmp_path / "once.yml", tmp_path / "once")
    kept = load(tmp_path / "out")
    shares = [float(values.mean()) for values in kept.values()]
    assert shares == pytest.approx([0.25, 0.25], abs=0.015)
    # The result's own draws are those of a merge without stages: it drops what that one drops.
    for name, values in load(tmp_path / "once").items():
        assert not np.any(kept[name][values == 0])


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_a_stage_is_made_again_when_what_it_takes_over_has_changed(
    file: str, recipe: Path, tmp_path: Path
) -> None:
    """The configuration and the small files of the donor go through stages to the result."""

    def interrupt(done: float, total: float, what: str) -> None:  # noqa: ARG001
        if (tmp_path / "out.stages" / "first").exists():
            raise KeyboardInterrupt("stop")

    with pytest.raises(KeyboardInterrupt, match="stop"):
        merge(recipe, tmp_path / "out", progress=interrupt)
    for name in "ab":
        path = tmp_path / name / file
        content = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**content, "rope_theta": 500}))
    merge(recipe, tmp_path / "out")
    assert json.loads((tmp_path / "out" / file).read_text())["rope_theta"] == 500


def test_what_a_later_stage_needs_is_checked_before_the_first_is_made(
    recipe: Path, model: Any, weights: Weights, tmp_path: Path
) -> None:
    """A model of the second merge that does not fit is refused with nothing written."""
    other = weights(3)
    other["model.embed_tokens.weight"] = other["model.embed_tokens.weight"][:, :1]
    model("c", other)
    with pytest.raises(ModelError, match=r"tensor model\.embed_tokens\.weight"):
        merge(recipe, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "c", "recipe.yml"}


def test_a_place_that_is_taken_is_refused_before_the_first_stage(
    recipe: Path, tmp_path: Path
) -> None:
    """Nobody waits for hours of stages to hear that the result cannot be written."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("")
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(SpecError, match="exists and is not a merged model"):
        merge(recipe, tmp_path / "thesis")
    assert {path.name for path in tmp_path.iterdir()} == before


def test_the_card_names_the_inputs_of_all_stages(recipe: Path, tmp_path: Path) -> None:
    """With the stage by its name, since its folder does not stay."""
    merge(recipe, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    for name in "abc":
        assert f"| {tmp_path}/{name} | `{tmp_path}/{name}` |" in card
    assert "| first | stage `first` |" in card
    assert "out.stages" not in card
