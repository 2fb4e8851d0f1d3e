"""The output is an ordinary model for transformers."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from mixmerge.merging.engine import merge, merge_state


@pytest.mark.parametrize("tied", [False, True])
def test_a_merge_is_loaded_by_transformers(tied: bool, tmp_path: Path) -> None:
    """A merge of two Cohere models loads without a warning and is the mean model.

    The same merge in memory goes straight into a model and answers the same.
    """
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        CohereConfig,
        CohereForCausalLM,
        PreTrainedTokenizerFast,
    )

    config = CohereConfig(
        vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, tie_word_embeddings=tied,
    )  # fmt: skip
    words = {f"w{number}": number for number in range(31)} | {"<unk>": 31}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="<unk>")), unk_token="<unk>"
    )
    states = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = CohereForCausalLM(config)
        model.save_pretrained(tmp_path / str(seed), max_shard_size="8KB")
        tokenizer.save_pretrained(tmp_path / str(seed))
        states.append({name: value.clone() for name, value in model.state_dict().items()})
    models = [
        {"name": str(seed), "path": tmp_path / str(seed), "parameters": {"weight": 0.5}}
        for seed in (0, 1)
    ]
    merge({"method": "linear", "models": models}, tmp_path / "out", shard_size=8_000)
    loaded, info = AutoModelForCausalLM.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, states[0][name] / 2 + states[1][name] / 2)
    assert loaded.config.tie_word_embeddings == tied
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("w3").input_ids == [3]
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 1

    torch.manual_seed(2)
    other = CohereForCausalLM(config)
    state = merge_state({"method": "linear", "models": models})
    _, unexpected = other.load_state_dict(state, strict=False, assign=True)
    other.tie_weights()
    assert not unexpected
    words_in = torch.arange(5)[None]
    assert torch.equal(other.eval()(words_in).logits, loaded.eval()(words_in).logits)
