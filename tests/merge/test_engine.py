"""Whole merges: folders in, folder out."""

import errno
import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mixmerge.errors import ModelError, ResourceError, SpecError
from mixmerge.merge.engine import merge
from mixmerge.merge.kernels import Array
from mixmerge.merge.plan import plan_merge
from mixmerge.merge.recipe import MergeRecipe
from mixmerge.merge.recipe_file import read_recipe
from mixmerge.merge.safetensors_io import ShardedWriter

Weights = Callable[..., dict[str, Array]]
Loader = Callable[[Path], dict[str, Array]]


def recipe(
    method: str, models: dict[str, Path], base: Path | None = None, **more: Any
) -> MergeRecipe:
    """Return a recipe that gives each model the weight 1/N."""
    return MergeRecipe.model_validate(
        {
            "method": method,
            "models": [{"name": name, "path": path} for name, path in models.items()],
            "base": {"path": base} if base else None,
            **more,
            "parameters": {"weight": 1 / len(models), **more.get("parameters", {})},
        }
    )


@pytest.fixture
def pair(model: Any, weights: Weights) -> dict[str, Path]:
    """Return two random models."""
    return {name: model(name, weights(seed)) for seed, name in enumerate("ab", 1)}


def digests(folder: Path) -> dict[str, str]:
    """Return the hash of every file."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def test_a_merge_has_every_tensor_and_its_mean(
    pair: dict[str, Path], weights: Weights, load: Loader, tmp_path: Path
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
    method: str, pair: dict[str, Path], model: Any, weights: Weights, tmp_path: Path, load: Loader
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
    pair: dict[str, Path], model: Any, weights: Weights, tmp_path: Path, load: Loader
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
    model: Any, weights: Weights, tmp_path: Path, load: Loader
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
    types: tuple[str, str], asked: str | None, expected: torch.dtype, model: Any, weights: Weights,
    tmp_path: Path,
) -> None:  # fmt: skip
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
    pair: dict[str, Path], model: Any, weights: Weights, tmp_path: Path
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
    pair: dict[str, Path], model: Any, weights: Weights, tmp_path: Path
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


def test_progress_ends_at_the_size_of_the_model(pair: dict[str, Path], tmp_path: Path) -> None:
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


def test_odd_shapes_and_buffers_are_merged_or_copied(model: Any, tmp_path: Path) -> None:
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


# What is refused.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": {"model_type": "other"}}, "model_type is toy in a and other in b"),
        ({"tokens": ("b", "a")}, "token 'a' has id 0 in a and 1 in b"),
        ({"tokens": ("a", "b", "c")}, "token 'c' has id None in a and 2 in b"),
        ({"dtype": "F64"}, "tensor .* of b is F64, which cannot be merged"),
        ({"dtypes": {"lm_head.weight": "I64"}}, "tensor lm_head.weight is F32 in a and I64 in b"),
    ],
)
def test_models_that_do_not_fit_are_refused(
    change: dict[str, Any], message: str, model: Any, weights: Weights, tmp_path: Path
) -> None:
    """The first difference is named and nothing is written."""
    paths = {"a": model("a", weights(1)), "b": model("b", weights(2), **change)}
    with pytest.raises(ModelError, match=f"do not fit together: .*{message}"):
        merge(recipe("linear", paths), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tensor_in_one_model_only_is_refused(
    model: Any, weights: Weights, tmp_path: Path
) -> None:
    """Neither model may have more; tied embeddings are named as the likely cause."""
    tensors = weights(1)
    head = tensors.pop("lm_head.weight")
    tied = model("tied", tensors, config={"tie_word_embeddings": True})
    full = model("full", {**tensors, "lm_head.weight": head})
    for first, second in ((tied, full), (full, tied)):
        with pytest.raises(ModelError, match=r"lm_head\.weight is in .* ties its head"):
            merge(recipe("linear", {"x": first, "y": second}), tmp_path / "out")


def test_another_vocabulary_size_is_refused(model: Any, weights: Weights, tmp_path: Path) -> None:
    """Both shapes are shown, and how many more differences there are."""
    longer = {
        name: np.vstack([values, values]) if len(values) == 5 else values
        for name, values in weights(2).items()
    }
    paths = {"a": model("a", weights(1)), "b": model("b", longer)}
    with pytest.raises(ModelError, match=r"\[5, 4\] in a and \[10, 4\] in b\. \(1 more"):
        merge(recipe("linear", paths), tmp_path / "out")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_nan_and_infinity_are_refused_by_tensor(
    bad: float, dtype: str, pair: dict[str, Path], model: Any, weights: Weights, tmp_path: Path
) -> None:
    """A broken input is named with its tensor; nothing is left under the output's name."""
    tensors = weights(2)
    tensors["model.norm.weight"][1] = bad
    pair["b"] = model("b", tensors, dtype=dtype)
    with pytest.raises(ModelError, match=r"tensor model\.norm\.weight of .*b/model.*NaN"):
        merge(recipe("linear", pair), tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_a_result_beyond_its_type_is_refused(tmp_path: Path, model: Any, weights: Weights) -> None:
    """Overflow is named, not written as infinity."""
    huge = {name: np.full_like(values, 3e38) for name, values in weights(1).items()}
    base = model("base", {name: -values for name, values in huge.items()})
    paths = {"a": model("a", huge), "b": model("b", huge)}
    with pytest.raises(ModelError, match=r"tensor .*: the merged values do not fit F32"):
        merge(recipe("task_arithmetic", paths, base), tmp_path / "out")
    with pytest.raises(ModelError, match="do not fit F16"):
        merge(recipe("linear", paths, dtype="float16"), tmp_path / "out")


def test_weights_that_sum_to_zero_are_refused(pair: dict[str, Path], tmp_path: Path) -> None:
    """Also where it happens in one layer of a gradient only."""
    models = [
        {"name": "a", "path": pair["a"], "parameters": {"weight": [1, -1, 1]}},
        {"name": "b", "path": pair["b"], "parameters": {"weight": 1}},
    ]
    with pytest.raises(SpecError, match=r"tensor model\.layers\.1\..* \(-1, 1\) sum to zero"):
        merge({"method": "linear", "models": models}, tmp_path / "out")


def test_a_tensor_without_a_matching_rule_is_refused(pair: dict[str, Path], tmp_path: Path) -> None:
    """A required value must reach every tensor of every model."""
    rules = [{"filter": "mlp", "value": 1}]
    made = recipe("linear", pair, parameters={"weight": rules})
    with pytest.raises(SpecError, match="no rule of `weight` for model `a` matches"):
        merge(made, tmp_path / "out")


def test_buffers_that_differ_are_refused(model: Any, tmp_path: Path) -> None:
    """Whole numbers are never averaged."""
    paths = {
        name: model(name, {"positions": np.arange(3) + start}, dtype="I64")
        for name, start in (("a", 0), ("b", 1))
    }
    with pytest.raises(ModelError, match="tensor positions: a buffer of I64 that differs"):
        merge(recipe("linear", paths), tmp_path / "out")


def test_inputs_and_foreign_folders_are_never_overwritten(
    pair: dict[str, Path], tmp_path: Path
) -> None:
    """The output may replace an older merge and nothing else."""
    made = recipe("linear", pair)
    for place in (pair["a"], tmp_path, pair["a"] / "merged", Path("/")):
        with pytest.raises(SpecError, match="is, holds or lies in the input"):
            merge(made, place)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("")
    with pytest.raises(SpecError, match="exists and is not a merged model"):
        merge(made, tmp_path / "thesis")
    with pytest.raises(SpecError, match="exists and is not a merged model"):
        merge(made, tmp_path / "thesis" / "chapter.tex")
    (tmp_path / "empty").mkdir()
    merge(made, tmp_path / "empty")
    merge(made, tmp_path / "empty")


def test_a_disk_without_space_is_refused_before_writing(
    pair: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says how much is needed and how much is free."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(ResourceError, match=r"needs 0\.00 GB and the disk has 0\.00 GB free"):
        merge(recipe("linear", pair), tmp_path / "out")


def test_a_disk_that_fills_leaves_nothing_behind(
    pair: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older merge stays whole when its replacement fails half way."""
    merge(recipe("linear", pair), tmp_path / "out")
    before = digests(tmp_path / "out")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ShardedWriter, "write", full)
    with pytest.raises(ResourceError, match="the disk is full"):
        merge(recipe("slerp", pair), tmp_path / "out")
    assert digests(tmp_path / "out") == before
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "out"}


@pytest.mark.parametrize("settings", [{"threads": 0}, {"shard_size": 0}])
def test_senseless_settings_are_refused(
    settings: dict[str, int], pair: dict[str, Path], tmp_path: Path
) -> None:
    """There is at least one thread and one byte per shard."""
    with pytest.raises(SpecError, match="must be at least 1"):
        merge(recipe("linear", pair), tmp_path / "out", **settings)  # type: ignore[arg-type]


def test_a_missing_model_is_refused(pair: dict[str, Path], tmp_path: Path) -> None:
    """The message names the folder."""
    pair["b"] = tmp_path / "nowhere"
    with pytest.raises(ModelError, match="nowhere: no such folder"):
        merge(recipe("linear", pair), tmp_path / "out")
