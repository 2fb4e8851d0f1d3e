"""Which tensor of a model is what, for the names that real architectures use."""

import pytest

from mixmerge.merging.models.layout import (
    Kind,
    Stack,
    belongs_to_embedding,
    comes_after_layers,
    denies_tied_head,
    depths,
    embedding,
    head,
    is_head,
    kind_of,
    layer_stack,
    layers,
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


def test_depth_runs_from_the_first_layer_to_the_last() -> None:
    """Layer i of n has depth i / (n - 1); what is outside of layers has depth 0."""
    names = ["embed.weight", *(f"model.layers.{i}.mlp.weight" for i in range(11)), "norm.weight"]
    found = depths(names, {})
    assert [found[f"model.layers.{i}.mlp.weight"] for i in (0, 5, 10)] == [0.0, 0.5, 1.0]
    assert found["embed.weight"] == found["norm.weight"] == 0.0


def test_an_only_layer_counts_as_the_last() -> None:
    """With a single layer the gradient's last value is used, as in mergekit."""
    assert depths(["h.0.w", "wte"], {}) == {"h.0.w": 1.0, "wte": 0.0}


@pytest.mark.parametrize("tower", [2, 3, 9])
def test_layers_beyond_those_of_the_configuration_are_not_counted(tower: int) -> None:
    """They predict further tokens, and lie as deep as the last layer; towers have their own."""
    names = [f"model.layers.{i}.w" for i in range(3)]
    beside = [f"vision_tower.blocks.{i}.w" for i in range(tower)]
    config = {"num_hidden_layers": 2, "num_nextn_predict_layers": 1}
    found = depths([*names, *beside, "model.mtp.layers.0.w", "model.mtp.layers.1.w"], config)
    assert [found[name] for name in names] == [0, 1, 1]
    assert [found[name] for name in beside] == [i / (tower - 1) for i in range(tower)]
    assert found["model.mtp.layers.0.w"] == found["model.mtp.layers.1.w"] == 1
    assert layer_stack("m", [*names, *beside], config) == Stack("model.layers.", 2)


def test_encoder_and_decoder_of_other_lengths_are_both_whole() -> None:
    """The number that the configuration states is that of one of them."""
    names = [f"encoder.block.{i}.w" for i in range(2)] + [f"decoder.block.{i}.w" for i in range(4)]
    found = depths(names, {"num_layers": 2, "num_decoder_layers": 4})
    assert [found[name] for name in names] == [0, 1, 0, 1 / 3, 2 / 3, 1]


def test_each_stack_of_layers_is_counted_alone() -> None:
    """Experts do not count as layers, and a vision tower has its own depth."""
    names = [
        "vision.blocks.1.w",
        "vision.blocks.0.w",
        "text.layers.4.experts.63.w",
        "text.layers.0.w",
    ]
    assert depths(names, {}) == {
        "vision.blocks.1.w": 1.0,
        "vision.blocks.0.w": 0.0,
        "text.layers.4.experts.63.w": 1.0,
        "text.layers.0.w": 0.0,
    }
    assert layers(names) == {"vision.blocks.": 2, "text.layers.": 5}


NAMES: list[tuple[Kind, str]] = [
    # Llama, Mistral, Qwen, Gemma, Cohere
    ("embedding", "model.embed_tokens.weight"),
    ("attention", "model.layers.0.self_attn.q_proj.weight"),
    ("attention", "model.layers.11.self_attn.k_proj.bias"),
    ("mlp", "model.layers.0.mlp.gate_proj.weight"),
    ("norm", "model.layers.0.input_layernorm.weight"),
    ("norm", "model.layers.0.post_attention_layernorm.weight"),
    ("norm", "model.layers.3.self_attn.q_norm.weight"),
    ("norm", "model.layers.3.pre_feedforward_layernorm.weight"),
    ("norm", "model.norm.weight"),
    ("head", "lm_head.weight"),
    ("head", "lm_head.bias"),
    # GPT-2, GPT-NeoX, MPT, DBRX, Falcon, OPT
    ("embedding", "transformer.wte.weight"),
    ("embedding", "transformer.wpe.weight"),
    ("attention", "transformer.h.0.attn.c_attn.weight"),
    ("mlp", "transformer.h.0.mlp.c_fc.weight"),
    ("norm", "transformer.h.0.ln_1.weight"),
    ("norm", "transformer.ln_f.bias"),
    ("embedding", "gpt_neox.embed_in.weight"),
    ("attention", "gpt_neox.layers.0.attention.query_key_value.weight"),
    ("mlp", "gpt_neox.layers.0.mlp.dense_h_to_4h.weight"),
    ("head", "embed_out.weight"),
    ("mlp", "transformer.blocks.0.ffn.up_proj.weight"),
    ("attention", "transformer.blocks.0.norm_attn_norm.attn.Wqkv.weight"),
    ("norm", "transformer.blocks.0.norm_attn_norm.norm_1.weight"),
    ("attention", "transformer.h.0.self_attention.dense.weight"),
    ("mlp", "model.decoder.layers.0.fc1.weight"),
    ("embedding", "model.decoder.embed_positions.weight"),
    # InternLM2, Mixtral, Qwen-MoE
    ("embedding", "model.tok_embeddings.weight"),
    ("attention", "model.layers.0.attention.wqkv.weight"),
    ("mlp", "model.layers.0.feed_forward.w1.weight"),
    ("norm", "model.layers.0.ffn_norm.weight"),
    ("head", "output.weight"),
    ("mlp", "model.layers.0.block_sparse_moe.experts.7.w2.weight"),
    ("mlp", "model.layers.0.block_sparse_moe.gate.weight"),
    ("mlp", "model.layers.0.mlp.experts.12.down_proj.weight"),
    # BERT, T5, Mamba, RWKV
    ("norm", "bert.embeddings.LayerNorm.weight"),
    ("embedding", "bert.embeddings.word_embeddings.weight"),
    ("attention", "bert.encoder.layer.0.attention.output.dense.weight"),
    ("mlp", "bert.encoder.layer.0.intermediate.dense.weight"),
    ("mlp", "bert.encoder.layer.0.output.dense.weight"),
    ("embedding", "shared.weight"),
    ("attention", "encoder.block.0.layer.0.SelfAttention.q.weight"),
    ("mlp", "decoder.block.0.layer.2.DenseReluDense.wi.weight"),
    ("norm", "encoder.block.0.layer.0.layer_norm.weight"),
    ("other", "backbone.layers.0.mixer.A_log"),
    ("other", "model.layers.0.mamba.A_log"),
    ("attention", "rwkv.blocks.0.att.key.weight"),
    ("norm", "rwkv.blocks.0.ln1.weight"),
    ("norm", "rwkv.blocks.0.pre_ln.bias"),
    ("norm", "model.layers.0.input_layernorm.1.weight"),
]


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_names_tell_what_tensors_are_for(kind: Kind, name: str) -> None:
    """Each family's names are understood without a table of families."""
    assert kind_of(name) == kind
