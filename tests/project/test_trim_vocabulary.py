"""Tests of examples/trim_vocabulary.py: fewer tokens, the same words, and back again."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma3TextConfig

SCRIPT = Path(__file__).parents[2] / "examples" / "trim_vocabulary.py"
CORPUS = ["the cat sat on the mat", "the dog ate the cat", "a banana and another banana"]
TEXTS = ["the cat", "banana mat"]


def script() -> Any:
    spec = importlib.util.spec_from_file_location("trim_vocabulary", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A tiny Gemma 3 with byte fallback and a few dozen merges."""
    trained = Tokenizer(models.BPE())
    trained.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=80, show_progress=False))
    learnt = json.loads(trained.to_str())["model"]
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    tokens = [*specials, *(f"<0x{byte:02X}>" for byte in range(256)), "\n", *learnt["vocab"]]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    merges = [tuple(pair) for pair in learnt["merges"]]
    bpe = models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True)
    tokenizer = Tokenizer(bpe)
    tokenizer.add_special_tokens(specials)
    folder = tmp_path / "whole"
    config = Gemma3TextConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8, tie_word_embeddings=True,
        pad_token_id=0, eos_token_id=1, bos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", **names})
    )
    return folder


def logits(folder: Path, text: str) -> tuple[list[str], torch.Tensor]:
    """Tokens of a text, and what the model says after it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = tokenizer(text, return_tensors="pt").input_ids
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        said = model(input_ids=asked).logits[0, -1]
    return tokenizer.convert_ids_to_tokens(asked[0].tolist()), said


def vocabulary(folder: Path) -> dict[str, int]:
    read: dict[str, int] = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    return read


@pytest.mark.parametrize("text", TEXTS)
def test_the_texts_keep_their_tokens_and_logits(whole: Path, tmp_path: Path, text: str) -> None:
    """A text that was given is cut as before, and each kept token has the logit it had."""
    kept = script().trim(whole, tmp_path / "small", TEXTS)
    assert kept < len(vocabulary(whole))
    (before, said_before), (after, said_after) = (
        logits(folder, text) for folder in (whole, tmp_path / "small")
    )
    assert after == before
    old, new = vocabulary(whole), vocabulary(tmp_path / "small")
    rows = torch.tensor([old[token] for token in sorted(new, key=new.__getitem__)])
    assert torch.allclose(said_after, said_before[rows], atol=1e-5)


def test_other_text_is_spelled_in_bytes(whole: Path, tmp_path: Path) -> None:
    """A letter that no text has is still read back as itself."""
    script().trim(whole, tmp_path / "small", TEXTS)
    tokens, _ = logits(tmp_path / "small", "ж")
    assert tokens == ["<0xD0>", "<0xB6>"]


def test_a_chat_ends_with_the_turn(whole: Path, tmp_path: Path) -> None:
    """The trimmed model has a chat template and stops at the end of a turn."""
    script().trim(whole, tmp_path / "small", TEXTS)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "small")
    chat = [{"role": "user", "content": "the cat"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == "<bos><start_of_turn>user\nthe cat<end_of_turn>\n<start_of_turn>model\n"
    stops = json.loads((tmp_path / "small" / "generation_config.json").read_text())["eos_token_id"]
    assert tokenizer.convert_ids_to_tokens(stops) == ["<eos>", "<end_of_turn>"]


def test_what_was_trained_goes_back_into_the_whole_model(whole: Path, tmp_path: Path) -> None:
    """Restored, kept rows are the trained ones and all others as they were."""
    small, back = tmp_path / "small", tmp_path / "back"
    script().trim(whole, small, TEXTS)
    weights = load_file(small / "model.safetensors")
    save_file({name: w + 1 for name, w in weights.items()}, small / "model.safetensors")
    script().restore(whole, small, back)
    before, after = (load_file(folder / "model.safetensors") for folder in (whole, back))
    old, new = vocabulary(whole), vocabulary(small)
    for name, weight in after.items():
        if not name.endswith("embed_tokens.weight"):
            assert torch.equal(weight, before[name] + 1)
            continue
        for token, row in old.items():
            assert torch.equal(weight[row], before[name][row] + (1 if token in new else 0))
