"""Model folders: shards, index, tokenizer."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.errors import ModelError
from mixmerge.merging.models.checkpoint import Checkpoint

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
    assert Checkpoint("m", folder).nbytes == 20


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
    (folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(ModelError, match="has both"):
        Checkpoint("m", folder)


def test_an_adapter_is_refused_by_name(model: Any) -> None:
    """The message says what to do with an adapter."""
    folder = model("m", TENSORS)
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="it is an adapter: merge it"):
        Checkpoint("m", folder)


def test_a_folder_without_tokenizer_is_refused(model: Any) -> None:
    """A merged model needs a tokenizer, so its inputs do."""
    folder = model("m", TENSORS)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="no tokenizer"):
        Checkpoint("m", folder)


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
