"""Model folders: shards, index, tokenizer."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.errors import ModelError
from mixmerge.merging.engine import merge
from mixmerge.merging.kernels import Array
from mixmerge.merging.models.checkpoint import Checkpoint, with_common_names
from mixmerge.merging.models.donor_files import has_tokenizer

TENSORS = {"a": np.zeros(2, np.float32), "b": np.zeros(3, np.float32)}


def sharded(model: Any, places: dict[str, Any]) -> Path:
    """Turn a model of two tensors into two shards with the given index."""
    folder: Path = model("m", {"a": TENSORS["a"]})
    other: Path = model("other", {"b": TENSORS["b"]})
    (folder / "model.safetensors").rename(folder / "one.safetensors")
    shutil.copyfile(other / "model.safetensors", folder / "two.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


def test_shards_are_joined_by_their_index(model: Any) -> None:
    """All tensors of all shards are found."""
    folder = sharded(model, {"a": "one.safetensors", "b": "two.safetensors"})
    assert set(Checkpoint("m", folder).tensors) == {"a", "b"}
    assert sum(tensor.nbytes for tensor in Checkpoint("m", folder).tensors.values()) == 20


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({"a": "../one.safetensors", "b": "two.safetensors"}, "not a file name in the folder"),
        ({"a": "/etc/passwd", "b": "two.safetensors"}, "not a file name in the folder"),
        ({"a": "..", "b": "two.safetensors"}, "not a file name in the folder"),
        ({"a": 1, "b": "two.safetensors"}, "not a file name in the folder"),
        ({"a": "three.safetensors"}, "three.safetensors: cannot be read"),
        ({"a": "one.safetensors", "b": "one.safetensors"}, "tensor 'b': the index says one"),
        ({"a": "one.safetensors", "c": "two.safetensors"}, "tensor 'c': the index says two"),
        ({}, "must name a file"),
        ([], "must name a file"),
    ],
)
def test_an_index_that_lies_is_refused(model: Any, places: Any, message: str) -> None:
    """The index must name files of the folder and agree with them tensor by tensor."""
    with pytest.raises(ModelError, match=message):
        Checkpoint("m", sharded(model, places))


def test_a_tensor_in_two_shards_is_refused(model: Any) -> None:
    """No copy of a tensor is preferred in silence."""
    folder = sharded(model, {"a": "one.safetensors", "b": "two.safetensors"})
    shutil.copyfile(folder / "one.safetensors", folder / "two.safetensors")
    with pytest.raises(ModelError, match="'a' is in two files"):
        Checkpoint("m", folder)


def test_leftovers_of_an_older_save_are_refused(model: Any) -> None:
    """A folder with one file and an index is ambiguous."""
    folder = model("m", TENSORS)
    index = {"weight_map": dict.fromkeys(TENSORS, "model-00001-of-00002.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="has both"):
        Checkpoint("m", folder)


def test_an_index_of_one_file_is_no_leftover(model: Any) -> None:
    """Some programs write one beside a model in a single file."""
    folder = model("m", TENSORS)
    index = {"weight_map": dict.fromkeys(TENSORS, "model.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert set(Checkpoint("m", folder).tensors) == {"a", "b"}


def test_an_adapter_is_refused_by_name(model: Any) -> None:
    """The message says what to do with an adapter."""
    folder = model("m", TENSORS)
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="it is an adapter: merge it"):
        Checkpoint("m", folder)


def test_a_folder_without_tokenizer_has_its_tensors(model: Any) -> None:
    """Weights can be merged without it; the plan says what that means for the output."""
    folder = model("m", TENSORS)
    assert has_tokenizer(folder)
    (folder / "tokenizer.json").unlink()
    assert Checkpoint("m", folder).tensors.keys() == TENSORS.keys()
    assert not has_tokenizer(folder)


@pytest.mark.parametrize("text", ["[]", "nonsense", '"a"'])
def test_a_broken_configuration_is_refused(model: Any, text: str) -> None:
    """The configuration must be a JSON object."""
    folder = model("m", TENSORS)
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"config\.json: (not valid JSON|must be a JSON object)"):
        Checkpoint("m", folder)


def test_vocabularies_of_both_kinds_are_read(model: Any) -> None:
    """Token ids come from the model's table or list, and from added tokens."""
    folder = model("m", TENSORS)
    added = [{"content": "<s>", "id": 2}]
    for vocab in ({"x": 0, "y": 1}, [["x", -1.0], ["y", -2.0]]):
        content = {"model": {"vocab": vocab}, "added_tokens": added}
        (folder / "tokenizer.json").write_text(json.dumps(content))
        assert Checkpoint("m", folder).vocabulary == {"x": 0, "y": 1, "<s>": 2}


@pytest.mark.parametrize("content", [{}, {"model": 3}, {"model": {"vocab": [1]}}])
def test_a_broken_tokenizer_is_refused(model: Any, content: Any) -> None:
    """A file of that name that is no tokenizer is named."""
    folder = model("m", TENSORS)
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="not a tokenizer"):
        _ = Checkpoint("m", folder).vocabulary


Load = Callable[[Path], dict[str, Array]]


def gpt2(seed: int, prefix: str) -> dict[str, Array]:
    """Return the tensors of a tiny GPT-2."""
    rng = np.random.default_rng(seed)
    names = ("wte.weight", "wpe.weight", "h.0.mlp.c_fc.weight", "h.1.mlp.c_fc.weight", "ln_f.bias")
    return {prefix + name: rng.standard_normal((4, 4), dtype=np.float32) for name in names}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_model_without_the_first_word_is_merged_with_one_that_has_it(
    order: tuple[int, int], model: Any, load: Load, tmp_path: Path
) -> None:
    """The output has the longer names, whichever comes first; old masks do not matter."""
    mask = {"h.0.attn.bias": np.ones((1, 1, 4, 4), np.float32)}
    folders = [model("short", {**gpt2(1, ""), **mask}), model("long", gpt2(2, "transformer."))]
    entries = [{"model": str(folders[i]), "parameters": {"weight": 0.5}} for i in order]
    merge({"merge_method": "linear", "models": entries}, tmp_path / "out")
    got = load(tmp_path / "out")
    assert got.keys() == gpt2(2, "transformer.").keys()
    for name, values in gpt2(2, "transformer.").items():
        short = gpt2(1, "")[name.removeprefix("transformer.")]
        np.testing.assert_allclose(got[name], (short + values) / 2, rtol=1e-6)


def test_a_model_is_known_by_what_it_stores(model: Any) -> None:
    """Its fingerprint does not depend on the models it is merged with."""
    short = Checkpoint("a", model("a", gpt2(1, "")))
    alone = short.fingerprint
    (renamed, _) = with_common_names([short, Checkpoint("b", model("b", gpt2(2, "model.")))])
    assert "model.wte.weight" in renamed.tensors
    assert renamed.fingerprint == alone


def test_models_that_share_a_name_are_left_alone(model: Any) -> None:
    """A missing tensor is then a missing tensor."""
    one = Checkpoint("a", model("a", gpt2(1, "")))
    two = Checkpoint("b", model("b", {**gpt2(2, "x."), "wte.weight": np.ones((4, 4), np.float32)}))
    assert with_common_names([one, two]) == [one, two]


def test_what_does_not_fit_is_named_with_the_word(model: Any, tmp_path: Path) -> None:
    """One tensor too many is one problem, and not one for each tensor."""
    more = {**gpt2(1, ""), "h.0.extra": np.ones(2, np.float32)}
    folders = [model("more", more), model("long", gpt2(2, "transformer."))]
    entries = [{"model": str(folder), "parameters": {"weight": 0.5}} for folder in folders]
    with pytest.raises(ModelError, match=r"tensor transformer\.h\.0\.extra is in .*long\.$"):
        merge({"merge_method": "linear", "models": entries}, tmp_path / "out")
