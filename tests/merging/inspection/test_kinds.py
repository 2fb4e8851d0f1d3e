"""What a tensor is for, for the names of many architectures."""

import pytest

from mixmerge.merging.inspection.kinds import Kind, kind_of

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
