"""Behaviour of merges that come before a merge."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.errors import ModelError, SpecError
from mixmerge.merge.engine import merge
from mixmerge.merge.kernels import Array

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
