"""Tiny models with adapters, made and merged by peft."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mixmerge.merging.kernels import Array

MakeAdapter = Callable[..., Path]

WARNINGS = [
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`:UserWarning"),
    pytest.mark.filterwarnings("ignore:Model (has|with) `tie_word_embeddings=True`:UserWarning"),
    pytest.mark.filterwarnings("ignore:Input and output embeddings are no longer:UserWarning"),
    pytest.mark.filterwarnings(r"ignore:.*LoRA tensor\(s\) have invalid shape"),  # of a bias
    # peft calls what transformers renamed
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]
"""Marks for tests that let peft work on tied models."""


def llama(tied: bool = False, hidden_size: int = 16) -> Any:
    """Return a tiny Llama with biases."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=24, hidden_size=hidden_size, intermediate_size=20, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, attention_bias=True,
        tie_word_embeddings=tied,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def gpt2() -> Any:
    """Return a tiny GPT-2, whose matrices are stored as (in, out)."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=24, n_embd=16, n_layer=2, n_head=4, n_positions=8))


def randomise(parameters: Any, seed: int, size: float = 0.3) -> None:
    """Fill parameters with random numbers."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in parameters:
            parameter.normal_(0, size, generator=generator)


def save(model: Any, folder: Path) -> Path:
    """Save a model with what mixmerge wants to see of a tokenizer."""
    model.save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text("{}")
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Write a base model."""
    model = llama()
    randomise(model.parameters(), 1)
    return save(model, tmp_path / "base")


@pytest.fixture
def adapter(tmp_path: Path) -> MakeAdapter:
    """Return what trains an adapter of a model, at random, and saves it by peft."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    def make(name: str, base: Path, seed: int = 2, **settings: Any) -> Path:
        model = AutoModelForCausalLM.from_pretrained(base)
        model.name_or_path = str(base)
        adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))
        randomise((each for each in adapted.parameters() if each.requires_grad), seed)
        adapted.save_pretrained(tmp_path / name)
        return tmp_path / name

    return make


def merged_by_peft(base: Path, adapter: Path, dtype: Any = torch.float64) -> dict[str, Array]:
    """Return the tensors of a base with an adapter merged into it by peft."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    merged = PeftModel.from_pretrained(model, adapter, torch_dtype=dtype).merge_and_unload()
    return {name: value.numpy() for name, value in merged.state_dict().items()}
