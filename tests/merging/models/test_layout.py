"""Which tensor of a model is what, for the names that real architectures use."""

import pytest

from mixmerge.merging.models.layout import (
    Stack,
    belongs_to_embedding,
    comes_after_layers,
    denies_tied_head,
    embedding,
    head,
    is_head,
    layer_stack,
)
from mixmerge.merging.models.safetensors_io import NewTensor

ARCHITECTURES = {
    "llama": ("model.layers.", "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"),
    "gpt2": ("transformer.h.", "transformer.wte.weight", "transformer.ln_f.bias", "lm_head.weight"),
    "headless": ("h.", "wte.weight", "ln_f.bias", "score.weight"),
    "gpt_neox": (
        "gpt_neox.layers.",
        "gpt_neox.embed_in.weight",
        "gpt_neox.final_layer_norm.bias",
        "embed_out.weight",
    ),
    "opt": (
        "model.decoder.layers.",
        "model.decoder.embed_tokens.weight",
        "model.decoder.final_layer_norm.bias",
        "lm_head.weight",
    ),
    "mamba": (
        "backbone.layers.",
        "backbone.embeddings.weight",
        "backbone.norm_f.weight",
        "lm_head.weight",
    ),
    "phi": (
        "model.layers.",
        "model.embed_tokens.weight",
        "model.final_layernorm.weight",
        "lm_head.bias",
    ),
    "internlm": (
        "model.layers.",
        "model.tok_embeddings.weight",
        "model.norm.weight",
        "output.weight",
    ),
    "vlm": (
        "model.language_model.layers.",
        "model.language_model.embed_tokens.weight",
        "model.language_model.norm.weight",
        "lm_head.weight",
    ),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_embeddings_norms_and_heads_are_known_by_their_names(name: str) -> None:
    """Embeddings come before the layers, final norms and heads after them."""
    layers, first, *after = ARCHITECTURES[name]
    tensors = {tensor: NewTensor(tensor, "F32", (7, 3)) for tensor in (first, *after)}
    assert embedding(tensors, {}) == first
    is_head = after[-1].endswith(".weight") and "score" not in after[-1]
    assert head(tensors) == (after[-1] if is_head else None)
    assert [comes_after_layers(tensor, layers) for tensor in tensors] == [False, True, True]
    assert belongs_to_embedding(first)


@pytest.mark.parametrize(
    "name",
    [
        "transformer.wpe.weight",
        "transformer.word_embeddings_layernorm.bias",
        "transformer.embeddings.LayerNorm.weight",
    ],
)
def test_what_belongs_to_embeddings_comes_before_the_layers(name: str) -> None:
    """Positions, and norms of embeddings."""
    assert belongs_to_embedding(name)
    assert not comes_after_layers(name, "transformer.h.")


@pytest.mark.parametrize(
    "name",
    ["model.vision_tower.post_layernorm.weight", "visual.merger.ln_q.weight", "model.rotary.freqs"],
)
def test_norms_elsewhere_are_not_those_of_the_layers(name: str) -> None:
    """A vision tower keeps its own norm, wherever the layers come from."""
    assert not comes_after_layers(name, "model.layers.")
    assert not belongs_to_embedding(name)


@pytest.mark.parametrize(
    "name",
    ["rwkv.blocks.0.attention.output.weight", "model.layers.61.shared_head.head.weight"],
)
def test_nothing_inside_of_layers_is_the_head(name: str) -> None:
    """There the same words name projections, and heads of other predictions."""
    assert not is_head(name)
    assert head([name, "head.weight"]) == "head.weight"


def test_the_embedding_is_the_matrix_with_a_row_for_each_token() -> None:
    """Where several are called so, the configuration's number of tokens decides."""
    tensors = {
        "vision.embeddings.weight": NewTensor("", "F32", (4, 3)),
        "text.embed_tokens.weight": NewTensor("", "F32", (9, 3)),
    }
    assert embedding(tensors, {"text_config": {"vocab_size": 9}}) == "text.embed_tokens.weight"
    assert embedding({}, {}) is None


def test_the_layers_are_as_many_as_the_configuration_says() -> None:
    """Nested configurations count; without a number the longest stack does."""
    names = [f"vision.blocks.{i}.w" for i in range(5)] + [f"text.layers.{i}.w" for i in range(3)]
    nested = {"text_config": {"num_hidden_layers": 3}, "num_hidden_layers": 5}
    assert layer_stack("m", names, nested) == Stack("text.layers.", 3)
    assert layer_stack("m", names, {"n_layer": 5}) == Stack("vision.blocks.", 5)
    assert layer_stack("m", names, {}) == Stack("vision.blocks.", 5)


def test_only_a_clear_no_denies_that_the_head_is_tied() -> None:
    """Configurations leave the setting out where it is their class's default."""
    assert not denies_tied_head({})
    assert not denies_tied_head({"tie_word_embeddings": True})
    assert denies_tied_head({"tie_word_embeddings": False})
    assert denies_tied_head({"text_config": {"tie_word_embeddings": False}})
