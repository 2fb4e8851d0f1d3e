"""Models of the benchmark are real checkpoints of any size."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from benchmarks.models import SIZES, bfloat16, ensure, many_tensors
from safetensors.torch import load_file

TINY = SIZES["tiny"]


def test_rounding_to_bfloat16_is_torchs() -> None:
    """Random and tied float32 values get the bits that torch gives them."""
    values = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
    values[:4] = [1 + 2**-8, 1 + 3 * 2**-8, 0.0, -0.0]  # halfway between two: to the even one
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.uint16).numpy()
    np.testing.assert_array_equal(bfloat16(values), expected)


@pytest.mark.parametrize("cohere", [False, True])
def test_transformers_loads_what_is_written(cohere: bool, tmp_path: Path) -> None:
    """Sharded models of both layouts load with no weight missing, unexpected or reshaped."""
    from transformers import AutoModelForCausalLM

    shape = replace(TINY, cohere=cohere)
    ensure(tmp_path, shape, shard=100_000)
    _, info = AutoModelForCausalLM.from_pretrained(tmp_path / "a", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    files = sorted((tmp_path / "a").glob("*.safetensors"))
    assert len(files) > 1
    stored = {name: tensor for file in files for name, tensor in load_file(file).items()}
    assert {name: tuple(tensor.shape) for name, tensor in stored.items()} == shape.tensors
    index = json.loads((tmp_path / "a/model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == shape.nbytes
    assert all(
        name in load_file(tmp_path / "a" / file) for name, file in index["weight_map"].items()
    )


def test_fine_tunes_are_near_the_base(tmp_path: Path) -> None:
    """Fine-tunes differ from the base, and from each other, by a twentieth of its spread."""
    ensure(tmp_path, TINY)
    name = "model.layers.1.mlp.up_proj.weight"
    base, a, b = (
        load_file(tmp_path / folder / "model.safetensors")[name].float()
        for folder in ("base", "a", "b")
    )
    assert base.std() == pytest.approx(0.02, rel=0.05)
    assert (a - base).std() == pytest.approx(0.001, rel=0.1)
    assert torch.corrcoef(torch.stack([(a - base).ravel(), (b - base).ravel()]))[0, 1].abs() < 0.05


def test_models_are_the_same_bytes_again(tmp_path: Path) -> None:
    """Two folders get equal files, and a folder that has its models is left alone."""
    ensure(tmp_path / "one", TINY)
    ensure(tmp_path / "two", TINY)
    for name in ("base", "a"):
        one, two = (tmp_path / x / name / "model.safetensors" for x in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
    one.write_bytes(b"kept")
    ensure(tmp_path / "one", TINY)
    assert one.read_bytes() == b"kept"


def test_many_tensors_are_many_and_small() -> None:
    """The shape of 20,000 tensors has about that many, and a few megabytes."""
    shape = many_tensors(20_000)
    assert len(shape.tensors) == pytest.approx(20_000, rel=0.001)
    assert shape.nbytes < 10_000_000


@pytest.mark.parametrize("size", ["0.1", "0.25", "0.5", "1", "2"])
def test_sizes_are_billions_of_parameters(size: str) -> None:
    """A size's name is its number of parameters, within a tenth."""
    assert SIZES[size].nbytes / 2 == pytest.approx(float(size) * 1e9, rel=0.1)


def test_a_full_disk_is_seen_before_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without space for three models and two results nothing is written."""
    usage = SimpleNamespace(free=5 * TINY.nbytes - 1)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(SystemExit, match=r"need 0 GB"):
        ensure(tmp_path / "new", TINY)
    assert not list((tmp_path / "new").iterdir())
