"""Tests of mixmerge.merging.in_place: merges into a loaded model."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from mixmerge.errors import ModelError
from mixmerge.merging.engine import merge
from mixmerge.merging.in_place import merge_into
from mixmerge.merging.recipes.recipe import MergeRecipe
from mixmerge.merging.recipes.recipe_file import read_recipe

IDS = torch.arange(12)[None]


def llama(folder: Path, seed: int, *, tied: bool = False, dtype: Any = torch.float32) -> Path:
    """Write a model of two small layers with random weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, vocab_size=64, tie_word_embeddings=tied,
    )  # fmt: skip
    LlamaForCausalLM(config).to(dtype).save_pretrained(folder)
    return folder


def recipe(method: str, paths: dict[str, Path], **own: Any) -> MergeRecipe:
    """Merge `a` and `b`, with `base` where there is one."""
    models = {name: {"weight": 0.4} for name in ("a", "b")}
    listed = [
        {"name": name, "path": str(paths[name]), "parameters": parameters}
        for name, parameters in models.items()
    ]
    content: dict[str, Any] = {"method": method, "models": listed, "parameters": own}
    if "base" in paths:
        content["base"] = {"name": "base", "path": str(paths["base"])}
    return read_recipe(content | {"files_from": "a"})


def loaded(folder: Path) -> Any:
    """Load a model in float32."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_merge_in_place_is_the_folder_that_would_be_written(
    tied: bool, dtype: Any, tmp_path: Path
) -> None:
    """After several merges into one model, its weights and logits are those of the written one."""
    paths = {
        name: llama(tmp_path / name, seed, tied=tied, dtype=dtype)
        for seed, name in enumerate(("a", "b", "base"))
    }
    network = loaded(paths["a"])
    state = network.state_dict()
    places = {name: tensor.data_ptr() for name, tensor in state.items()}
    for method, own in (("ties", {"density": 0.5}), ("dare_linear", {"density": 0.7})):
        made = recipe(method, paths, **own)
        merge(made, tmp_path / method, seed=3)
        merge_into(state, made, seed=3, threads=2)
        written = loaded(tmp_path / method)
        for name, tensor in written.state_dict().items():
            assert torch.equal(network.state_dict()[name], tensor), name
        with torch.no_grad():
            assert torch.equal(network(IDS).logits, written(IDS).logits)
    assert {name: tensor.data_ptr() for name, tensor in network.state_dict().items()} == places


def test_a_model_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    """Nothing of a merge gets lost: its names and shapes are those of the loaded model."""
    paths = {name: llama(tmp_path / name, seed) for seed, name in enumerate("ab")}
    state = loaded(paths["a"]).state_dict()
    part = {name: tensor for name, tensor in state.items() if "norm" not in name}
    with pytest.raises(ModelError, match=r"norm.*cannot be tried in memory"):
        merge_into(part, recipe("linear", paths))
    with pytest.raises(ModelError, match="tensor more: the loaded model has it"):
        merge_into(state | {"more": torch.zeros(3)}, recipe("linear", paths))


def test_a_tied_model_does_not_take_an_untied_merge(tmp_path: Path) -> None:
    """Where the merge stores a head of its own, a model whose head is its embedding is refused."""
    paths = {"a": llama(tmp_path / "a", 0, tied=True), "b": llama(tmp_path / "b", 1)}
    with pytest.raises(ModelError, match="the loaded model ties them"):
        merge_into(loaded(paths["a"]).state_dict(), recipe("linear", paths))
