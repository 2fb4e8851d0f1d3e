"""Whether transformers would find everything in the merged model."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from mixmerge.errors import ModelError
from mixmerge.merging.planning.meta import check_architecture
from mixmerge.merging.planning.plan import MergePlan, plan_merge
from mixmerge.merging.recipes.recipe_file import read_recipe

SIZES: dict[str, Any] = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}
GPT2: dict[str, Any] = {"n_embd": 16, "n_layer": 4, "n_head": 2, "vocab_size": 32}
GPT2 |= {"bos_token_id": 0, "eos_token_id": 0}
EXPERTS: dict[str, Any] = {"num_experts": 2, "moe_intermediate_size": 8, "mlp_only_layers": [3]}
MODELS: dict[str, dict[str, Any]] = {
    "Llama": {**SIZES, "tie_word_embeddings": False},
    "Gemma2": {**SIZES, "head_dim": 8},
    "Qwen3Moe": {**SIZES, **EXPERTS, "num_experts_per_tok": 1, "head_dim": 8},
    "Cohere2": SIZES,
    "GPT2": GPT2,
}


def saved(kind: str, folder: Path, **changes: Any) -> Path:
    """Save a tiny random model of an architecture."""
    config = getattr(transformers, f"{kind}Config")(**{**MODELS[kind], **changes})
    head = "LMHeadModel" if kind == "GPT2" else "ForCausalLM"
    torch.manual_seed(0)
    getattr(transformers, kind + head)(config).save_pretrained(folder)
    ids = {f"w{number}": number for number in range(32)}
    Tokenizer(WordLevel(ids, unk_token="w0")).save(str(folder / "tokenizer.json"))
    return folder


def stacked(folder: Path, *ranges: tuple[int, int]) -> MergePlan:
    """Plan a model of some layers of another."""
    sources = [[{"model": str(folder), "layer_range": list(numbers)}] for numbers in ranges]
    slices = [{"sources": source} for source in sources]
    content = {"merge_method": "linear", "slices": slices, "parameters": {"weight": 1}}
    return plan_merge(read_recipe(content))


@pytest.mark.parametrize("kind", MODELS)
def test_stacked_layers_are_what_the_configuration_asks_for(kind: str, tmp_path: Path) -> None:
    """Tied heads, experts, and layers of different kinds included."""
    plan = stacked(saved(kind, tmp_path / "m"), (0, 3), (1, 4), (0, 1))
    assert check_architecture(plan)
    kinds = plan.config.get("layer_types")
    if kinds is not None:
        config = getattr(transformers, f"{kind}Config")(**MODELS[kind])
        assert kinds == [config.layer_types[layer] for layer in (0, 1, 2, 1, 2, 3, 0)]


def test_a_tied_and_an_untied_model_make_an_untied_one(tmp_path: Path) -> None:
    """The head is stored, and transformers is told to look for it."""
    tied = saved("Llama", tmp_path / "tied", tie_word_embeddings=True)
    untied = saved("Llama", tmp_path / "untied")
    models = [{"model": str(folder)} for folder in (tied, untied)]
    content = {"merge_method": "linear", "models": models, "parameters": {"weight": 1}}
    plan = plan_merge(read_recipe(content))
    assert plan.config["tie_word_embeddings"] is False
    assert check_architecture(plan)


def test_what_transformers_would_not_load_is_refused(tmp_path: Path) -> None:
    """Missing tensors, tensors without a use, and other shapes are named."""
    folder = saved("Llama", tmp_path / "m")
    plan = stacked(folder, (0, 4))
    for changes, message in (
        ({"num_hidden_layers": 5}, r"needs tensor model\.layers\.4.* \(8 more\)"),
        ({"num_hidden_layers": 3}, r"has no use for tensor model\.layers\.3"),
        ({"intermediate_size": 8}, r"down_proj.* has shape \[16, 32\], and .* needs \[16, 8\]"),
    ):
        wrong = MergePlan(plan.recipe, plan.checkpoints, plan.rows, {**plan.config, **changes})
        with pytest.raises(ModelError, match=message):
            check_architecture(wrong)


def test_an_unknown_architecture_cannot_be_checked(model: Any, weights: Any) -> None:
    """That is said, and is no error."""
    assert not check_architecture(stacked(model("toy", weights(1)), (0, 3)))
