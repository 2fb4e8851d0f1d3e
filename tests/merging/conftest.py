"""Tiny model folders, written by the safetensors library and not by the code under test."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from mixmerge.merging.kernels import Array
from mixmerge.merging.recipes.recipe import MergeRecipe

TYPES = {
    "BF16": torch.bfloat16,
    "F16": torch.float16,
    "F32": torch.float32,
    "F64": torch.float64,
    "I64": torch.int64,
}

ModelWriter = Callable[..., Path]


def write_model(
    folder: Path,
    tensors: Mapping[str, npt.NDArray[Any]],
    *,
    dtype: str = "F32",
    dtypes: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
    tokens: tuple[str, ...] = ("a", "b"),
) -> Path:
    """Write a model folder that is complete as far as merging is concerned."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        name: torch.tensor(values, dtype=TYPES[(dtypes or {}).get(name, dtype)])
        for name, values in tensors.items()
    }
    save_file(content, folder / "model.safetensors", {"format": "pt"})
    full = {"model_type": "toy", "architectures": ["Toy"], "dtype": "float32", **(config or {})}
    (folder / "config.json").write_text(json.dumps(full))
    vocabulary = {"model": {"vocab": {token: number for number, token in enumerate(tokens)}}}
    (folder / "tokenizer.json").write_text(json.dumps(vocabulary))
    return folder


def write_adapter(folder: Path, model: Path) -> Path:
    """Write a LoRA for the first layer of a model with the tensors of `layered`."""
    folder.mkdir(parents=True)
    module = "base_model.model.model.layers.0.self_attn.q_proj"
    factors = {"lora_A": torch.ones(2, 4), "lora_B": torch.ones(4, 2)}
    content = {f"{module}.{name}.weight": factor for name, factor in factors.items()}
    save_file(content, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "base_model_name_or_path": str(model)}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def write_tokenizer(folder: Path, tokens: str) -> None:
    """Write a real tokenizer of words of one letter."""
    words = WordLevel({token: number for number, token in enumerate(tokens)}, unk_token=tokens[0])
    folder.mkdir(parents=True, exist_ok=True)
    Tokenizer(words).save(str(folder / "tokenizer.json"))


def open_files() -> set[int]:
    """Return the numbers of all files that this process holds open."""
    return {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}


def read_model(folder: Path) -> dict[str, Array]:
    """Read all weight files with the safetensors library, as float32 (exact for what we store)."""
    tensors: dict[str, Array] = {}
    for file in sorted(folder.glob("*.safetensors")):
        loaded = load_file(file)
        tensors |= {name: tensor.float().numpy() for name, tensor in loaded.items()}
    return tensors


@pytest.fixture
def model(tmp_path: Path) -> ModelWriter:
    """Write models below the test's folder by name."""

    def write(name: str, tensors: Mapping[str, npt.NDArray[Any]], **settings: Any) -> Path:
        return write_model(tmp_path / name, tensors, **settings)

    return write


@pytest.fixture
def load() -> Callable[[Path], dict[str, Array]]:
    """Return the reader of merged folders."""
    return read_model


def layered(seed: int, layers: int = 3, width: int = 4) -> dict[str, Array]:
    """Return random float32 tensors with the names of a small transformer."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (5, width)}
    for layer in range(layers):
        shapes[f"model.layers.{layer}.self_attn.q_proj.weight"] = (width, width)
        shapes[f"model.layers.{layer}.mlp.up_proj.weight"] = (2 * width, width)
        shapes[f"model.layers.{layer}.input_layernorm.weight"] = (width,)
    shapes["model.norm.weight"] = (width,)
    shapes["lm_head.weight"] = (5, width)
    return {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


@pytest.fixture
def weights() -> Callable[..., dict[str, Array]]:
    """Return the maker of random tensors of a small transformer."""
    return layered


def make_recipe(
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
def recipe() -> Callable[..., MergeRecipe]:
    """Return the maker of recipes from folders."""
    return make_recipe


@pytest.fixture
def pair(model: ModelWriter, weights: Callable[..., dict[str, Array]]) -> dict[str, Path]:
    """Return two random models."""
    return {name: model(name, weights(seed)) for seed, name in enumerate("ab", 1)}
