"""Adapters extracted from two models, against peft and a singular value decomposition."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.merging.adapters.conftest import WARNINGS, gpt2, llama, merged_by_peft, randomise, save

from mixmerge.errors import ModelError, SpecError
from mixmerge.merging.adapters.extract import extract
from mixmerge.merging.kernels import Array

pytestmark = WARNINGS


def tuned(base: Path, out: Path, only: str = "") -> Path:
    """Write a model whose tensors differ from those of another."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if only in name:
                value.add_(0.05 * torch.randn(value.shape, generator=generator))
    return save(model, out)


def tensors(folder: Path) -> dict[str, Array]:
    """Return the tensors of a folder in float64."""
    loaded = load_file(folder / "model.safetensors")
    return {name: value.double().numpy() for name, value in loaded.items()}


@pytest.fixture
def pair(base: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Write a base and a fine-tuned model."""
    return base, tuned(base, tmp_path / "tuned")


def report(out: Path) -> dict[str, Any]:
    """Read the report of an extraction."""
    content: dict[str, Any] = json.loads((out / "mixmerge_adapter.json").read_text())
    return content


def test_the_error_is_that_of_the_best_approximation(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """Each module keeps the largest singular values, and the error stated is the one measured."""
    notes = extract(*pair, tmp_path / "out", rank=3)
    before, after = map(tensors, pair)
    ours = merged_by_peft(pair[0], tmp_path / "out")
    stated = report(tmp_path / "out")
    norms = errors = 0.0
    for module, said in stated["modules"].items():
        change = after[f"{module}.weight"] - before[f"{module}.weight"]
        sizes = np.linalg.svd(change, compute_uv=False)
        best = np.sqrt(np.sum(sizes[3:] ** 2))
        lost = np.linalg.norm(ours[f"{module}.weight"] - after[f"{module}.weight"])
        assert lost == pytest.approx(best, rel=1e-6)
        assert said["error"] == pytest.approx(lost / np.linalg.norm(change), rel=1e-6)
        assert said["rank"] == 3
        norms, errors = norms + float(np.sum(sizes**2)), errors + float(lost) ** 2
    assert stated["error"] == pytest.approx(np.sqrt(errors / norms), rel=1e-6)
    assert f"relative Frobenius error {stated['error']:.3g}" in notes[-1]
    assert len(stated["modules"]) == 2 * 7 + 1
    assert "model.norm.weight" in stated["left_out"]
    assert any("14 changed tensors are left out" in note for note in notes)
    rest = sum(norm**2 for norm in stated["left_out"].values())
    assert stated["share_left_out"] == pytest.approx(rest / (rest + norms), rel=1e-6)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "tied"])
def test_full_rank_and_whole_modules_give_the_model_back(kind: str, tmp_path: Path) -> None:
    """Norms, embeddings, biases and matrices stored as (in, out): nothing is lost but rounding."""
    model = {"llama": llama, "gpt2": gpt2, "tied": lambda: llama(tied=True)}[kind]()
    randomise(model.parameters(), 1)
    base = save(model, tmp_path / "base")
    after = tuned(base, tmp_path / "tuned")
    notes = extract(base, after, tmp_path / "out", rank=16, modules_to_save=True)
    theirs, ours = tensors(after), merged_by_peft(base, tmp_path / "out")
    for name, value in theirs.items():
        assert np.linalg.norm(ours[name] - value) < 1e-6 * np.linalg.norm(value), name
    assert not report(tmp_path / "out")["left_out"]
    assert any("vLLM does not load this adapter" in note for note in notes)


def test_named_modules_are_taken_and_a_low_rank_change_is_kept(base: Path, tmp_path: Path) -> None:
    """Only the layers that are named, embeddings among them, in the type that is asked for."""
    after = tuned(base, tmp_path / "tuned")
    words = ["q_proj", "embed_tokens"]
    extract(base, after, tmp_path / "out", rank=16, modules=words, dtype="bfloat16")
    stored = load_file(tmp_path / "out" / "adapter_model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}
    theirs, before = tensors(after), tensors(base)
    ours = merged_by_peft(base, tmp_path / "out")
    for name, value in before.items():
        taken = any(word in name for word in words) and name.endswith("weight")
        wanted = theirs[name] if taken else value
        assert np.abs(ours[name] - wanted).max() < (3e-3 if taken else 1e-12), name
    assert all(0 < each["error"] < 1e-2 for each in report(tmp_path / "out")["modules"].values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, r"rank \(0\) must be at least 1"),
        ({"rank": 21}, r"rank 21: no changed matrix has more than rank 16"),
        ({"rank": 2, "dtype": "int8"}, r"dtype \(int8\) float32 or"),
        ({"rank": 2, "modules": ["q_prj"]}, "modules: no layer called 'q_prj' has changed"),
    ],
)
def test_settings_that_make_no_adapter_are_refused(
    settings: dict[str, Any], message: str, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """A rank that no matrix has, and layers that are not there."""
    with pytest.raises((SpecError, ModelError), match=message):
        extract(*pair, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_models_that_make_no_adapter_are_refused(base: Path, tmp_path: Path) -> None:
    """The same model, an equal one, one with only other tensors, NaN, and an unknown kind."""
    out = tmp_path / "out"
    with pytest.raises(SpecError, match="is both the base and the fine-tuned model"):
        extract(base, base, out, rank=2)
    with pytest.raises(ModelError, match="No matrix of the base is changed"):
        extract(base, tuned(base, tmp_path / "equal", "nothing"), out, rank=2)
    with pytest.raises(ModelError, match="No matrix of the base is changed"):
        extract(base, tuned(base, tmp_path / "norms", "norm"), out, rank=2)
    broken = tuned(base, tmp_path / "broken")
    content = load_file(broken / "model.safetensors")
    content["model.layers.1.mlp.up_proj.weight"][0, 0] = float("nan")
    save_file(content, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"up_proj.weight .*: contains NaN or infinity"):
        extract(base, broken, out, rank=2)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"architectures": ["Other"]}))
    with pytest.raises(ModelError, match="transformers cannot build Other"):
        extract(base, tuned(base, tmp_path / "third"), out, rank=2)
    assert not out.exists()
