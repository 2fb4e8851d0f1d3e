"""What a merge refuses, and what it leaves behind then."""

import errno
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.merging.conftest import write_adapter, write_tokenizer

from mixmerge.errors import ModelError, ResourceError, SpecError
from mixmerge.merging.engine import merge
from mixmerge.merging.kernels import Array
from mixmerge.merging.output.shards import ShardFile
from mixmerge.merging.recipes.recipe import MergeRecipe

Weights = Callable[..., dict[str, Array]]
Recipes = Callable[..., MergeRecipe]


def digests(folder: Path) -> dict[str, str]:
    """Return the hash of every file."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


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
    recipe: Recipes,
    change: dict[str, Any],
    message: str,
    model: Any,
    weights: Weights,
    tmp_path: Path,
) -> None:
    """The first difference is named and nothing is written."""
    paths = {"a": model("a", weights(1)), "b": model("b", weights(2), **change)}
    with pytest.raises(ModelError, match=f"do not fit together: .*{message}"):
        merge(recipe("linear", paths), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tensor_in_one_model_only_is_refused(
    recipe: Recipes, model: Any, weights: Weights, tmp_path: Path
) -> None:
    """Neither model may have more, and a head counts as tied only where nothing denies it."""
    tensors = weights(1)
    head = tensors.pop("lm_head.weight")
    untied = model("untied", tensors, config={"tie_word_embeddings": False})
    full = model("full", {**tensors, "lm_head.weight": head})
    for first, second in ((untied, full), (full, untied)):
        with pytest.raises(ModelError, match=r"lm_head\.weight is in .* does not tie it"):
            merge(recipe("linear", {"x": first, "y": second}), tmp_path / "out")
    more = model("more", {**tensors, "lm_head.weight": head, "model.bias": head[0]})
    for pair in ({"x": more, "y": full}, {"x": full, "y": more}):
        with pytest.raises(ModelError, match=r"model\.bias is in x and not in y|in y and not in x"):
            merge(recipe("linear", pair), tmp_path / "out")


def test_another_vocabulary_size_is_refused(
    recipe: Recipes, model: Any, weights: Weights, tmp_path: Path
) -> None:
    """Both shapes are shown, and how many more differences there are."""
    longer = {
        name: np.vstack([values, values]) if len(values) == 5 else values
        for name, values in weights(2).items()
    }
    paths = {"a": model("a", weights(1)), "b": model("b", longer)}
    with pytest.raises(
        ModelError, match=r"\[5, 4\] in a and \[10, 4\] in b .*align them.*\(1 more"
    ):
        merge(recipe("linear", paths), tmp_path / "out")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_nan_and_infinity_are_refused_by_tensor(
    recipe: Recipes,
    bad: float,
    dtype: str,
    pair: dict[str, Path],
    model: Any,
    weights: Weights,
    tmp_path: Path,
) -> None:
    """A broken input is named with its tensor; nothing is left under the output's name."""
    tensors = weights(2)
    tensors["model.norm.weight"][1] = bad
    pair["b"] = model("b", tensors, dtype=dtype)
    with pytest.raises(ModelError, match=r"tensor model\.norm\.weight of .*b/model.*NaN"):
        merge(recipe("linear", pair), tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_a_result_beyond_its_type_is_refused(
    recipe: Recipes, tmp_path: Path, model: Any, weights: Weights
) -> None:
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


def test_a_tensor_without_a_matching_rule_is_refused(
    recipe: Recipes, pair: dict[str, Path], tmp_path: Path
) -> None:
    """A required value must reach every tensor of every model."""
    rules = [{"filter": "mlp", "value": 1}]
    made = recipe("linear", pair, parameters={"weight": rules})
    with pytest.raises(SpecError, match="no rule of `weight` for model `a` matches"):
        merge(made, tmp_path / "out")


def test_buffers_that_differ_are_refused(recipe: Recipes, model: Any, tmp_path: Path) -> None:
    """Whole numbers are never averaged."""
    paths = {
        name: model(name, {"positions": np.arange(3) + start}, dtype="I64")
        for name, start in (("a", 0), ("b", 1))
    }
    with pytest.raises(ModelError, match="tensor positions: a buffer of I64 that differs"):
        merge(recipe("linear", paths), tmp_path / "out")


def test_inputs_and_foreign_folders_are_never_overwritten(
    recipe: Recipes, pair: dict[str, Path], tmp_path: Path
) -> None:
    """The output may replace an older merge and nothing else."""
    made = recipe("linear", pair)
    for place in (pair["a"], tmp_path, pair["a"] / "merged", Path("/")):
        with pytest.raises(SpecError, match="is, contains or lies inside the input"):
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


def test_an_adapter_in_the_output_is_never_overwritten(
    recipe: Recipes, pair: dict[str, Path], tmp_path: Path
) -> None:
    """It is an input as much as its model is, for the result and for a stage."""
    merge(recipe("linear", pair), tmp_path / "out")
    adapter = write_adapter(tmp_path / "out" / "lora", pair["a"])
    before = digests(adapter)
    adapted = {"a": f"{pair['a']}+{adapter}", "b": pair["b"]}
    with pytest.raises(SpecError, match=r"is, contains or lies inside the input .*out/lora"):
        merge(recipe("linear", adapted), tmp_path / "out")
    stage = recipe("linear", adapted)
    with pytest.raises(SpecError, match=r"is, contains or lies inside the input .*out/lora"):
        merge(recipe("linear", {"s": "s", **pair}, stages={"s": stage}), tmp_path / "out")
    moved = adapter.rename(tmp_path / "lora")
    adapted["a"] = f"{pair['a']}+{moved}"
    with pytest.raises(SpecError, match=r"is, contains or lies inside the input .*lora"):
        merge(recipe("linear", adapted), moved)
    assert digests(moved) == before


def test_a_tokenizer_in_the_output_is_never_overwritten(
    recipe: Recipes, pair: dict[str, Path], tmp_path: Path
) -> None:
    """Also where the recipe takes nothing else from that folder."""
    for path in pair.values():
        write_tokenizer(path, "abcde")
    merge(recipe("linear", pair), tmp_path / "out")
    write_tokenizer(tmp_path / "out" / "words", "edcba")
    made = recipe("linear", pair, tokenizer={"source": str(tmp_path / "out" / "words")})
    with pytest.raises(SpecError, match=r"is, contains or lies inside the input .*out/words"):
        merge(made, tmp_path / "out")


def test_an_adapter_where_stages_are_made_is_not_removed(
    recipe: Recipes, pair: dict[str, Path], tmp_path: Path
) -> None:
    """The neighbour of the output is deleted in the end, so no input may lie in it."""
    merge(recipe("linear", pair), tmp_path / "out.stages" / "s")
    adapter = write_adapter(tmp_path / "out.stages" / "s" / "lora", pair["a"])
    stage = recipe("linear", {"a": f"{pair['a']}+{adapter}", "b": pair["b"]})
    made = recipe("linear", {"s": "s", **pair}, stages={"s": stage})
    with pytest.raises(SpecError, match=r"out\.stages/s/lora: the stages would be written here"):
        merge(made, tmp_path / "out")


def test_a_disk_without_space_is_refused_before_writing(
    recipe: Recipes, pair: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says how much is needed and how much is free."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(ResourceError, match=r"needs 0\.00 GB more and the disk has 0\.00 GB free"):
        merge(recipe("linear", pair), tmp_path / "out")


def test_a_disk_that_fills_leaves_nothing_behind(
    recipe: Recipes, pair: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older merge stays whole when its replacement fails half way."""
    merge(recipe("linear", pair), tmp_path / "out")
    before = digests(tmp_path / "out")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ShardFile, "write", full)
    with pytest.raises(ResourceError, match="the disk is full"):
        merge(recipe("slerp", pair), tmp_path / "out")
    assert digests(tmp_path / "out") == before
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "out"}


@pytest.mark.parametrize("settings", [{"threads": 0}, {"shard_size": 0}])
def test_senseless_settings_are_refused(
    recipe: Recipes, settings: dict[str, int], pair: dict[str, Path], tmp_path: Path
) -> None:
    """There is at least one thread and one byte per shard."""
    with pytest.raises(SpecError, match="must be at least 1"):
        merge(recipe("linear", pair), tmp_path / "out", **settings)  # type: ignore[arg-type]


def test_a_missing_model_is_refused(recipe: Recipes, pair: dict[str, Path], tmp_path: Path) -> None:
    """The message names the folder."""
    pair["b"] = tmp_path / "nowhere"
    with pytest.raises(ModelError, match="nowhere: no such folder"):
        merge(recipe("linear", pair), tmp_path / "out")
