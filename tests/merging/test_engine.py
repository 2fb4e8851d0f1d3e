"""Whole merges: folders in, folder out."""

import hashlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mixmerge.merging.engine import merge, merge_state
from mixmerge.merging.kernels import Array
from mixmerge.merging.planning.plan import plan_merge
from mixmerge.merging.recipes.recipe import MergeRecipe
from mixmerge.merging.recipes.recipe_file import read_recipe

Weights = Callable[..., dict[str, Array]]
Recipes = Callable[..., MergeRecipe]
Loader = Callable[[Path], dict[str, Array]]


def digests(folder: Path) -> dict[str, str]:
    """Return the hash of every file."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def test_a_merge_has_every_tensor_and_its_mean(
    recipe: Recipes, pair: dict[str, Path], weights: Weights, load: Loader, tmp_path: Path
) -> None:
    """A linear merge of two models is their mean, tensor by tensor, and none is missing."""
    merge(recipe("linear", pair), tmp_path / "out")
    merged, first, second = load(tmp_path / "out"), weights(1), weights(2)
    assert merged.keys() == first.keys()
    for name, values in merged.items():
        expected = (first[name].astype(np.float64) + second[name]) / 2
        np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-7)


def test_a_mergekit_file_is_merged(pair: dict[str, Path], load: Loader, tmp_path: Path) -> None:
    """SLERP with t from base_model: t = 0 is the base, t = 1 the other model."""
    for t, expected in ((0, "a"), (1, "b")):
        text = {
            "merge_method": "slerp",
            "base_model": str(pair["a"]),
            "models": [{"model": str(pair["b"])}],
            "parameters": {"t": t},
        }
        (tmp_path / "r.yml").write_text(json.dumps(text))
        merge(tmp_path / "r.yml", tmp_path / "out")
        merged, whole = load(tmp_path / "out"), load(pair[expected])
        assert all(np.array_equal(merged[name], whole[name]) for name in whole)


def test_gradients_and_filters_reach_the_right_tensors(
    pair: dict[str, Path], load: Loader, tmp_path: Path
) -> None:
    """The first layer is one model, the last the other; the rest takes the first value."""
    made = MergeRecipe.model_validate(
        {
            "method": "linear",
            "models": [
                {"name": "a", "path": pair["a"], "parameters": {"weight": [1, 0.5, 0]}},
                {"name": "b", "path": pair["b"], "parameters": {"weight": [0, 0.5, 1]}},
            ],
        }
    )
    rows = {row.output.name: row.arguments for row in plan_merge(made).rows}
    weight = {name: arguments["weight"] for name, arguments in rows.items() if arguments}
    assert weight["model.layers.0.mlp.up_proj.weight"] == (1, 0)
    assert weight["model.layers.1.mlp.up_proj.weight"] == (0.5, 0.5)
    assert weight["model.layers.2.mlp.up_proj.weight"] == (0, 1)
    assert weight["lm_head.weight"] == weight["model.embed_tokens.weight"] == (1, 0)
    merge(made, tmp_path / "out")
    merged, a, b = load(tmp_path / "out"), load(pair["a"]), load(pair["b"])
    for name, source in (("model.layers.0", a), ("model.layers.2", b), ("model.norm", a)):
        assert all(np.array_equal(merged[k], source[k]) for k in merged if k.startswith(name))


@pytest.mark.parametrize("method", ["linear", "slerp", "ties", "dare_ties", "dare_linear"])
def test_the_bytes_do_not_depend_on_threads_or_shards(
    recipe: Recipes,
    method: str,
    pair: dict[str, Path],
    model: Any,
    weights: Weights,
    tmp_path: Path,
    load: Loader,
) -> None:
    """One thread or eight, one file or many: every weight is the same to the last bit."""
    base = None if method in ("linear", "slerp") else model("base", weights(3))
    density = {"parameters": {"density": 0.5}} if base else {}
    made = recipe(method, pair, base, **density)
    merge(made, tmp_path / "one", seed=5, threads=1)
    merge(made, tmp_path / "again", seed=5, threads=1)
    merge(made, tmp_path / "many", seed=5, threads=8, shard_size=200)
    assert digests(tmp_path / "one") == digests(tmp_path / "again")
    assert len(list((tmp_path / "many").glob("model-*.safetensors"))) > 3
    one, many = load(tmp_path / "one"), load(tmp_path / "many")
    assert all(np.array_equal(one[name], many[name]) for name in one)
    assert one.keys() == many.keys()


def test_the_seed_counts_only_where_something_is_drawn(
    recipe: Recipes,
    pair: dict[str, Path],
    model: Any,
    weights: Weights,
    tmp_path: Path,
    load: Loader,
) -> None:
    """Another seed gives another DARE merge and the same TIES merge."""
    base = model("base", weights(3))
    for method, differs in (("dare_ties", True), ("ties", False)):
        made = recipe(method, pair, base, parameters={"density": 0.5})
        for seed in (0, 1):
            merge(made, tmp_path / f"{method}-{seed}", seed=seed)
        x, y = load(tmp_path / f"{method}-0"), load(tmp_path / f"{method}-1")
        assert any(not np.array_equal(x[name], y[name]) for name in x) == differs


def test_a_draw_does_not_depend_on_other_tensors(
    recipe: Recipes, model: Any, weights: Weights, tmp_path: Path, load: Loader
) -> None:
    """A tensor's mask is the same when the model has fewer tensors, or lies elsewhere."""
    few = {"model.norm.weight"}
    for folder in ("all", "few"):
        paths = [
            model(
                f"{folder}/{seed}",
                {k: v for k, v in weights(seed).items() if folder == "all" or k in few},
            )
            for seed in (1, 2, 3)
        ]
        made = recipe(
            "dare_linear", {"x": paths[1], "y": paths[2]}, paths[0], parameters={"density": 0.5}
        )
        merge(made, tmp_path / f"out-{folder}")
    norm = load(tmp_path / "out-all")["model.norm.weight"]
    assert np.array_equal(norm, load(tmp_path / "out-few")["model.norm.weight"])


@pytest.mark.parametrize(
    ("types", "asked", "expected"),
    [
        (("BF16", "BF16"), None, torch.bfloat16),
        (("F16", "F16"), None, torch.float16),
        (("BF16", "F16"), None, torch.float32),
        (("BF16", "F32"), None, torch.float32),
        (("F32", "F32"), "bfloat16", torch.bfloat16),
        (("BF16", "BF16"), "float16", torch.float16),
    ],
)
def test_the_output_is_rounded_once_to_its_type(
    recipe: Recipes,
    types: tuple[str, str],
    asked: str | None,
    expected: torch.dtype,
    model: Any,
    weights: Weights,
    tmp_path: Path,
) -> None:
    """Types are promoted unless the recipe says one; torch rounds the same mean the same way."""
    from safetensors.torch import load_file

    paths = [model(f"m{i}", weights(i), dtype=dtype) for i, dtype in enumerate(types)]
    merge(recipe("linear", {"a": paths[0], "b": paths[1]}, dtype=asked), tmp_path / "out")
    merged = load_file(tmp_path / "out" / "model.safetensors")
    a, b = (load_file(path / "model.safetensors") for path in paths)
    for name, values in merged.items():
        assert values.dtype == expected
        assert torch.equal(values, (a[name].float() / 2 + b[name].float() / 2).to(expected))
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["dtype"] == str(expected).removeprefix("torch.")


def test_everything_but_weights_comes_from_the_donor(
    recipe: Recipes, pair: dict[str, Path], model: Any, weights: Weights, tmp_path: Path
) -> None:
    """Tokenizer, template and generation settings are the base's, or as the recipe says."""
    base = model("base", weights(3), config={"mark": "base"})
    for path, mark in ((base, "base"), (pair["b"], "b")):
        (path / "chat_template.jinja").write_text(mark)
        (path / "generation_config.json").write_text("{}")
    for donor, expected in ((None, "base"), ("b", "b")):
        merge(recipe("ties", pair, base, files_from=donor), tmp_path / "out")
        assert (tmp_path / "out" / "chat_template.jinja").read_text() == expected
    assert digests(tmp_path / "out").keys() == {
        "README.md", "chat_template.jinja", "config.json", "generation_config.json",
        "mixmerge_recipe.yml", "model.safetensors", "tokenizer.json",
    }  # fmt: skip


def test_a_merge_can_be_made_again_from_what_it_carries(
    recipe: Recipes, pair: dict[str, Path], model: Any, weights: Weights, tmp_path: Path
) -> None:
    """The recipe in the output gives the same files; the card names inputs and versions."""
    base = model("base", weights(3))
    made = recipe("dare_ties", pair, base, parameters={"density": [0.2, 0.9]})
    merge(made, tmp_path / "out", seed=3)
    assert read_recipe(tmp_path / "out" / "mixmerge_recipe.yml") == made
    merge(tmp_path / "out" / "mixmerge_recipe.yml", tmp_path / "again", seed=3)
    assert digests(tmp_path / "again") == digests(tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "`dare_ties`" in card
    assert "seed 3" in card
    assert all(str(path) in card for path in (*pair.values(), base))


def test_progress_ends_at_the_size_of_the_model(
    recipe: Recipes, pair: dict[str, Path], tmp_path: Path
) -> None:
    """Progress rises to the number of bytes written."""
    heard: list[tuple[float, float]] = []
    merge(recipe("linear", pair), tmp_path / "out", progress=lambda d, t, _: heard.append((d, t)))
    assert heard == sorted(heard)
    assert heard[-1][0] == heard[-1][1] == 4 * sum(
        math.prod(shape) for shape in _shapes(pair["a"]).values()
    )  # fmt: skip


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    from safetensors.torch import load_file

    return {k: tuple(v.shape) for k, v in load_file(folder / "model.safetensors").items()}


def test_odd_shapes_and_buffers_are_merged_or_copied(
    recipe: Recipes, model: Any, tmp_path: Path
) -> None:
    """No dimension, no element and whole numbers: each has its rule."""
    from safetensors.torch import load_file

    tensors = {
        "scalar": np.array(2.0, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "positions": np.arange(4),
    }
    paths = [
        model(name, {**tensors, "scalar": np.array(value, np.float32)}, dtypes={"positions": "I64"})
        for name, value in (("a", 2.0), ("b", 4.0), ("base", 1.0))
    ]
    for method, base in (("slerp", None), ("ties", paths[2]), ("dare_ties", paths[2])):
        merge(recipe(method, {"a": paths[0], "b": paths[1]}, base), tmp_path / "out")
        merged = load_file(tmp_path / "out" / "model.safetensors")
        assert merged["scalar"].shape == ()
        assert merged["scalar"].item() == 3.0
        assert merged["empty"].shape == (0, 3)
        assert merged["positions"].tolist() == [0, 1, 2, 3]


def test_a_state_holds_what_a_merge_writes(
    recipe: Recipes, pair: dict[str, Path], tmp_path: Path
) -> None:
    """Every tensor has the same type, shape and bits as in the folder."""
    for dtype in ("bfloat16", "float16", "float32"):
        made = recipe("slerp", pair, dtype=dtype)
        merge(made, tmp_path / "out")
        written = load_file(tmp_path / "out" / "model.safetensors")
        state = merge_state(made, threads=2)
        assert state.keys() == written.keys()
        assert all(torch.equal(state[name], written[name]) for name in written)
        assert all(state[name].dtype == written[name].dtype for name in written)


def test_buffers_and_odd_shapes_are_in_the_state(recipe: Recipes, model: Any) -> None:
    """No dimension, no element and whole numbers arrive as they are."""
    tensors = {
        "scalar": np.array(2.0, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "positions": np.arange(4),
    }
    paths = {name: model(name, tensors, dtypes={"positions": "I64"}) for name in "ab"}
    state = merge_state(recipe("linear", paths))
    assert state["scalar"].shape == ()
    assert state["empty"].shape == (0, 3)
    assert state["positions"].tolist() == [0, 1, 2, 3]


def test_a_state_stays_when_the_inputs_are_gone(recipe: Recipes, pair: dict[str, Path]) -> None:
    """The result does not refer to the files it was made from, and can be changed."""
    state = merge_state(recipe("linear", pair))
    before = {name: tensor.clone() for name, tensor in state.items()}
    for path in pair.values():
        (path / "model.safetensors").unlink()
    assert all(torch.equal(state[name], before[name]) for name in before)
    next(iter(state.values())).add_(1)
