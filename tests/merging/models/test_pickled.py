"""Weights in PyTorch's own format: where they are in the file, and what is refused."""

import json
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixmerge.errors import ModelError
from mixmerge.merging.engine import merge
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.pickled import is_pickled, read_pickled_header


def save(folder: Path, content: Any, name: str = "pytorch_model.bin", **options: Any) -> Path:
    """Write one pickled file and a configuration."""
    folder.mkdir(exist_ok=True)
    torch.save(content, folder / name, **options)
    (folder / "config.json").write_text('{"model_type": "toy"}')
    return folder


def values(model: Checkpoint, name: str) -> list[Any]:
    source = model.source(name)
    out = np.empty(int(np.prod(source.shape)), np.float32)
    source.read(0, out)
    found: list[Any] = out.reshape(source.shape).tolist()
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_tensors_are_read_where_they_lie(dtype: torch.dtype, tmp_path: Path) -> None:
    """Every float type, shared storage and slices of rows are read as PyTorch reads them."""
    whole = torch.arange(12, dtype=dtype).reshape(4, 3)
    content = OrderedDict(a=whole, tied=whole, rows=whole[1:3], scalar=torch.tensor(7.0))
    model = Checkpoint("m", save(tmp_path / "m", content), allow_pickle=True)
    for name, tensor in content.items():
        assert values(model, name) == tensor.float().tolist()
    assert model.config == {"model_type": "toy"}
    assert model.tensors["a"].shape == (4, 3)
    assert len(model.fingerprint) == 64


def test_shards_are_joined_and_other_files_left_alone(tmp_path: Path) -> None:
    """All weight files count, those of the optimiser do not."""
    folder = save(tmp_path / "m", {"a": torch.ones(2)}, "pytorch_model-00001-of-00002.bin")
    save(folder, {"b": torch.zeros(1)}, "pytorch_model-00002-of-00002.bin")
    save(folder, {"state": {}}, "optimizer.pt")
    save(folder, "settings", "training_args.bin")
    model = Checkpoint("m", folder, allow_pickle=True)
    assert values(model, "a") == [1, 1]
    assert values(model, "b") == [0]
    save(folder, {"b": torch.zeros(1)}, "pytorch_model-00003-of-00002.bin")
    with pytest.raises(ModelError, match=r"'b' is in two files: pytorch_model-00002.* and"):
        Checkpoint("m", folder, allow_pickle=True)


def test_safetensors_are_preferred(model: Any) -> None:
    """A folder that has both is not pickled."""
    folder = model("m", {"a": np.zeros(2, np.float32)})
    assert not is_pickled(folder)
    torch.save({"a": torch.ones(2)}, folder / "pytorch_model.bin")
    assert not is_pickled(folder)
    (folder / "model.safetensors").unlink()
    assert is_pickled(folder)


class Harmful:
    """Runs a command when it is unpickled by the ordinary reader."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    """A file that would run a command is refused and the command is not run."""
    trap = tmp_path / "trap"
    folder = save(tmp_path / "m", {"a": torch.ones(2), "b": Harmful(f"touch {trap}")})
    with pytest.raises(ModelError, match="contains more than tensors and cannot be read safely"):
        Checkpoint("m", folder, allow_pickle=True)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.ones(2)], "must hold a dictionary of tensors"),
        ({}, "must hold a dictionary of tensors"),
        ({"model": {"a": torch.ones(2)}}, "'model': must be a tensor with a name, not dict"),
        ({3: torch.ones(2)}, "3: must be a tensor with a name"),
        ({"a": torch.ones(2, 3).T}, "'a': is not stored row by row"),
        ({"a": torch.ones(2, dtype=torch.complex64)}, "'a': is of the type torch.complex64"),
        ({"a": torch.eye(2).to_sparse()}, "'a': is of the type torch.float32 .torch.sparse_coo"),
    ],
)
def test_what_is_not_a_dictionary_of_dense_tensors_is_refused(
    content: Any, message: str, tmp_path: Path
) -> None:
    """The entry is named with what is wrong."""
    folder = save(tmp_path / "m", content)
    with pytest.raises(ModelError, match=message):
        Checkpoint("m", folder, allow_pickle=True)


def test_other_formats_are_refused(tmp_path: Path) -> None:
    """The older format without zip, an ordinary pickle and an empty file."""
    old = save(tmp_path / "m", {"a": torch.ones(2)}, _use_new_zipfile_serialization=False)
    file = old / "pytorch_model.bin"
    for content in (file.read_bytes(), pickle.dumps({"a": 1}), b""):
        file.write_bytes(content)
        with pytest.raises(ModelError, match=r"not a file of `torch.save` in its zip format"):
            read_pickled_header(file)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_damaged_file_is_an_error_or_stays_inside(data: st.DataObject, tmp_path: Path) -> None:
    """Whatever bytes change: a clear error, or tensors that lie within the file."""
    good = save(tmp_path / "m", {"a": torch.ones(4, 2), "b": torch.zeros(3)}) / "pytorch_model.bin"
    content = bytearray(good.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.sampled_from([len(content), len(content) // 2, len(content) - 1]))
    bad = tmp_path / "bad.bin"
    bad.write_bytes(content[:cut])
    try:
        tensors = read_pickled_header(bad)
    except ModelError as error:
        assert str(bad) in str(error)  # noqa: PT017 - the other outcome is as good
    else:
        assert all(tensor.start + tensor.nbytes <= cut for tensor in tensors)
        assert json.dumps([tensor.name for tensor in tensors])


def test_a_merge_of_pickled_models_is_that_of_safetensors(model: Any, tmp_path: Path) -> None:
    """The same weights in either form give the same file; without permission nothing is read."""
    rng = np.random.default_rng(0)
    tensors = {"model.layers.0.q.weight": rng.standard_normal((4, 4), np.float32)}
    plain, base = model("plain", tensors), model("base", {name: -x for name, x in tensors.items()})
    pickled = model("pickled", tensors)
    save(pickled, {name: torch.tensor(values) for name, values in tensors.items()})
    (pickled / "config.json").write_bytes((plain / "config.json").read_bytes())
    (pickled / "model.safetensors").unlink()

    def recipe(folder: Path) -> dict[str, Any]:
        models = [{"model": str(path), "parameters": {"weight": 0.5}} for path in (folder, base)]
        return {"merge_method": "linear", "models": models}

    with pytest.raises(ModelError, match="its weights are pickled"):
        merge(recipe(pickled), tmp_path / "out")
    merge(recipe(pickled), tmp_path / "out", allow_pickle=True)
    merge(recipe(plain), tmp_path / "same")
    both = [tmp_path / name / "model.safetensors" for name in ("out", "same")]
    assert both[0].read_bytes() == both[1].read_bytes()
