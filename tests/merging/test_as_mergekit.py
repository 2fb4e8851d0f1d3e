"""Recipes and models as mergekit takes them: base alone, no tokenizer, rows of embeddings cut."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.errors import ModelError, SpecError
from mixmerge.merging.engine import merge
from mixmerge.merging.kernels import Array
from mixmerge.merging.planning.plan import plan_merge
from mixmerge.merging.recipes.recipe_file import read_recipe

Load = Callable[[Path], dict[str, Array]]
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def recipe(method: str, *models: Path, base: Path | None = None, **more: Any) -> dict[str, Any]:
    """Return a recipe of whole models with a weight for all."""
    content: dict[str, Any] = {
        "merge_method": method,
        "models": [{"model": str(m)} for m in models],
    }
    if base is not None:
        content["base_model"] = str(base)
    return {**content, "parameters": {"weight": 0.5}, **more}


@pytest.mark.parametrize("method", ["task_arithmetic", "dare_ties", "sce"])
def test_a_base_without_other_models_comes_out_as_it_is(
    method: str, model: Any, weights: Any, load: Load, tmp_path: Path
) -> None:
    """Byte for byte, whatever the method draws or counts."""
    base = model("base", weights(1), dtype="BF16")
    notes = merge(recipe(method, base, base=base), tmp_path / "out")
    got, want = load(tmp_path / "out"), load(base)
    assert got.keys() == want.keys()
    assert all(np.array_equal(got[name], want[name]) for name in want)
    assert f"models: the base is the only model, so {method} gives the base itself" in notes


def test_layers_of_the_base_alone_stand_beside_merged_ones(
    model: Any, weights: Any, load: Load, tmp_path: Path
) -> None:
    """A slice may have no other source, though another slice has."""
    base, tune = model("base", weights(1)), model("tune", weights(2))
    name = "model.layers.{}.mlp.up_proj.weight"
    parts = [
        {"sources": [{"model": str(base), "layer_range": [0, 1]}]},
        {"sources": [{"model": str(one), "layer_range": [1, 3]} for one in (base, tune)]},
    ]
    content = recipe("task_arithmetic", base=base, slices=parts)
    del content["models"]
    merge(content, tmp_path / "out")
    got, x, y = load(tmp_path / "out"), load(base), load(tune)
    assert np.array_equal(got[name.format(0)], x[name.format(0)])
    mean = (x[name.format(2)] + y[name.format(2)]) / 2
    np.testing.assert_allclose(got[name.format(2)], mean, rtol=1e-5, atol=1e-6)


def test_karcher_merges_an_unlisted_base_as_one_more_model(
    model: Any, weights: Any, load: Load, tmp_path: Path
) -> None:
    """The same numbers as where it is listed."""
    base, tune = model("base", weights(1)), model("tune", weights(2))
    merge(recipe("karcher", tune, base=base, parameters={}), tmp_path / "one")
    merge(recipe("karcher", tune, base, parameters={}), tmp_path / "other")
    one, other = load(tmp_path / "one"), load(tmp_path / "other")
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_models_without_a_tokenizer_are_merged(model: Any, weights: Any, tmp_path: Path) -> None:
    """With the base's tokenizer, or with none where the base has none; both are said."""
    base, tune = model("base", weights(1)), model("tune", weights(2))
    (tune / "tokenizer.json").unlink()
    notes = merge(recipe("linear", tune, base, base=base), tmp_path / "out")
    assert f"{tune} has no tokenizer; its ids are taken to be those of {base}" in notes
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (
        base / "tokenizer.json"
    ).read_bytes()
    notes = merge(recipe("linear", base, tune, base=tune), tmp_path / "none")
    assert f"{tune} has no tokenizer, so the output has none" in notes
    assert not (tmp_path / "none" / "tokenizer.json").exists()


def test_tokenizers_that_differ_are_seen_beside_one_that_is_missing(
    model: Any, weights: Any
) -> None:
    """A first model without a tokenizer hides no difference between the others."""
    bare, one = model("bare", weights(1)), model("one", weights(2))
    other = model("other", weights(3), tokens=("b", "a"))
    (bare / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"the tokenizers differ: token 'a' has id 0 in .*one"):
        plan_merge(read_recipe(recipe("linear", bare, one, other)))


def larger(seed: int, weights: Any, rows: int) -> dict[str, Array]:
    """Return tensors whose embedding and head have more rows, and the head a bias."""
    tensors: dict[str, Array] = weights(seed)
    rng = np.random.default_rng(seed)
    for name in (EMBEDDING, HEAD):
        tensors[name] = rng.standard_normal((rows, 4), dtype=np.float32)
    return {**tensors, "lm_head.bias": rng.standard_normal(rows, dtype=np.float32)}


@pytest.mark.parametrize("method", ["linear", "task_arithmetic"])
def test_rows_beyond_those_of_the_smallest_are_cut_where_asked(
    method: str, model: Any, weights: Any, load: Load, tmp_path: Path
) -> None:
    """Embedding, head and its bias, each to its own fewest rows; every cut is said."""
    large, small = model("large", larger(1, weights, 7)), model("small", larger(2, weights, 5))
    content = recipe(method, large, small, base=large)
    if method == "task_arithmetic":
        content["parameters"] = {"weight": 1.0}
    with pytest.raises(ModelError, match=r"has shape \[7\] in .*large and \[5\] in .*2 more"):
        plan_merge(read_recipe(content))
    notes = merge(content, tmp_path / "out", unsafe_truncate_embeddings=True)
    got, x, y = load(tmp_path / "out"), load(large), load(small)
    for name in (EMBEDDING, HEAD, "lm_head.bias"):
        want = (x[name][:5] + y[name]) / 2 if method == "linear" else y[name]
        np.testing.assert_allclose(got[name], want, rtol=1e-5, atol=1e-6)
        cut = f"tensor {name}: unsafe: cut to 5 rows in {large}; tokens with higher ids lose theirs"
        assert cut in notes
    again = merge(tmp_path / "out" / "mixmerge_recipe.yml", tmp_path / "again")
    assert set(again) >= {note for note in notes if "unsafe" in note}
    assert load(tmp_path / "again").keys() == got.keys()


def test_nothing_else_is_cut(model: Any, weights: Any) -> None:
    """A layer of another shape is still no merge."""
    large, small = weights(1), weights(2)
    large["model.layers.0.mlp.up_proj.weight"] = np.ones((9, 4), np.float32)
    content = recipe("linear", model("large", large), model("small", small))
    with pytest.raises(ModelError, match=r"mlp\.up_proj\.weight has shape \[9, 4\]"):
        plan_merge(read_recipe({**content, "unsafe_truncate_embeddings": True}))


def test_tokens_with_other_ids_are_said_where_rows_are_cut(model: Any, weights: Any) -> None:
    """The cut takes for granted that they are the same."""
    one, other = model("one", weights(1)), model("other", weights(2), tokens=("b", "a"))
    content = {**recipe("linear", one, other), "unsafe_truncate_embeddings": True}
    notes = plan_merge(read_recipe(content)).notes
    assert any(note.startswith("unsafe: the tokenizers differ: token 'a'") for note in notes)


def test_a_strict_merge_refuses_what_has_no_effect(
    model: Any, weights: Any, tmp_path: Path
) -> None:
    """Without `strict` the same merge says it, in what it returns and in the model card."""
    one, other = model("one", weights(1)), model("other", weights(2))
    content = recipe("sce", other, base=one)
    with pytest.raises(SpecError, match="parameters: `weight` has no effect with sce"):
        merge(content, tmp_path / "out", strict=True)
    assert "parameters: `weight` has no effect with sce" in merge(content, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Note: parameters: `weight` has no effect with sce." in card
