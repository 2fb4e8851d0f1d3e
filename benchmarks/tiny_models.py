"""Tiny models of many architectures: a random base and fine-tunes of it, made by transformers.

Float32, three layers, with a real (tiny) byte-level BPE tokenizer, saved by ``save_pretrained``.
"""

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

TUNES = ("a", "b", "c")
"""The fine-tunes of ``base``."""
_SPECIAL = {"eos_token": "<end>"}
_TEXT = ["the merge of two models is a model", "what is merged must fit", "0123456789 -,.!?"]
_SIZES: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "max_position_embeddings": 64,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
_GPT2_SIZES: dict[str, Any] = {
    "n_embd": 48,
    "n_inner": 80,
    "n_head": 4,
    "bos_token_id": None,
    "eos_token_id": None,
}

_VISION_SIZES = {"depth": 2, "embed_dim": 32, "hidden_size": 48, "num_heads": 2}


@dataclass(frozen=True)
class Architecture:
    """How to make the models of one kind."""

    kind: str
    """transformers' ``model_type``."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the configuration, beyond the sizes."""
    tied: tuple[str, ...] | None = None
    """The models whose head is the embedding; None: as the architecture has it."""
    more_tokens: tuple[str, ...] = ()
    """Models with tokens of their own."""


ARCHITECTURES = {
    "Llama": Architecture("llama"),
    "Llama, tied": Architecture("llama", tied=("base", *TUNES)),
    "Llama, two tied": Architecture("llama", tied=("a", "c")),
    "Llama, biases": Architecture("llama", {"attention_bias": True, "mlp_bias": True}),
    "Mistral": Architecture("mistral"),
    "Gemma 2": Architecture("gemma2"),
    "Gemma 3": Architecture("gemma3_text"),
    "Qwen2": Architecture("qwen2"),
    "Qwen3, tied": Architecture("qwen3", tied=("base", *TUNES)),
    "Cohere": Architecture("cohere"),
    "Cohere, query norms": Architecture("cohere", {"use_qk_norm": True}),
    "GPT-2": Architecture("gpt2"),
}
"""By the name that tables use."""

VOCABULARIES = {
    "Llama, vocabularies": Architecture("llama", more_tokens=("a", "c")),
    "Llama, vocabularies, tied": Architecture(
        "llama", tied=("base", *TUNES), more_tokens=("a", "c")
    ),
}
"""Models of which two have more tokens than the others; merged with a tokenizer setting."""


def write_models(folder: Path, architecture: Architecture) -> None:
    """Write ``base``, ``a``, ``b`` and ``c`` below ``folder``, unless they are there."""
    for seed, name in enumerate(("base", *TUNES)):
        if not (folder / name / "config.json").exists():
            write_model(folder / name, architecture, seed)


def write_model(folder: Path, architecture: Architecture, seed: int, layers: int = 3) -> None:
    """Write one model; the folder's name decides on head and tokens.

    Args:
        folder: to write.
        architecture: its kind.
        seed: 0 for a base, other numbers for its fine-tunes.
        layers: how many.
    """
    import torch
    from transformers import AutoConfig, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(tokenizer_object=_tokenizer(), **_SPECIAL)
    if folder.name in architecture.more_tokens:
        tokenizer.add_tokens([f"<{folder.name}>", "<both>", "<more>"])
    config = AutoConfig.for_model(
        architecture.kind, **_settings(architecture, len(tokenizer), layers)
    )
    if architecture.tied is not None:
        config.tie_word_embeddings = folder.name in architecture.tied
    model = _class(config).from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            weights.copy_(torch.from_numpy(_values(name, tuple(weights.shape), seed)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _settings(architecture: Architecture, vocabulary: int, layers: int) -> dict[str, Any]:
    sizes = {**_SIZES, "num_hidden_layers": layers, "vocab_size": vocabulary}
    if architecture.kind == "gpt2":
        sizes = {**_GPT2_SIZES, "n_layer": layers, "vocab_size": vocabulary}
    if architecture.kind == "qwen2_vl":
        sizes = {"text_config": sizes, "vision_config": _VISION_SIZES}
    return sizes | architecture.settings


def _class(config: Any) -> Any:
    import transformers

    known = transformers.AutoModelForCausalLM._model_mapping
    return (
        transformers.AutoModelForCausalLM
        if type(config) in known
        else transformers.AutoModelForImageTextToText
    )


def _values(name: str, shape: tuple[int, ...], seed: int) -> npt.NDArray[np.float32]:
    """Return a tensor: noise of the base, and where ``seed`` is not 0 a little of its own.

    A tensor with more rows has the same values in the rows that the others have, too.
    """
    base, own = (
        np.random.default_rng([number, zlib.crc32(name.encode())]).standard_normal(shape)
        for number in (0, seed)
    )
    centre = 1.0 if "norm" in name or "ln_" in name else 0.0
    return np.asarray(centre + 0.05 * base + (0.01 * own if seed else 0.0), np.float32)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=80, special_tokens=["<end>"], show_progress=False)
    tokenizer.train_from_iterator(_TEXT, trainer)
    return tokenizer
