"""Lengths of rows."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from mixmerge.errors import ModelError
from mixmerge.mixing.mixture import characters, token_counter
from mixmerge.records import Conversation, Message, PreferencePair

ROW = Conversation(
    id="1",
    source="s",
    language="hi",
    messages=(
        Message(role="user", content="one two"),
        Message(role="assistant", content="एक दो तीन"),
    ),
)
PAIR = PreferencePair(
    id="1", source="s", language="en", prompt=ROW.messages[:1], chosen="a b c", rejected="d"
)


def write_tokenizer(folder: Path) -> None:
    """Write a tokenizer that splits at spaces, adds special tokens, and cuts at two tokens."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[BOS]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[BOS] $A", special_tokens=[("[BOS]", 1)]
    )
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=16)
    tokenizer.save(str(folder / "tokenizer.json"))


def test_tokens_are_those_of_the_texts(tmp_path: Path) -> None:
    """Whole texts are counted, without special tokens, truncation or padding."""
    write_tokenizer(tmp_path)
    count = token_counter(tmp_path)
    assert count(ROW) == 5
    assert count(PAIR) == 6


def test_characters_are_unicode_characters() -> None:
    """Every text of a row counts, in characters and not in bytes."""
    assert characters(ROW) == len("one two") + len("एक दो तीन")
    assert characters(PAIR) == len("one two") + 6


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    """A missing or unreadable tokenizer.json is named."""
    with pytest.raises(ModelError, match=r"no tokenizer\.json, which counting tokens requires"):
        token_counter(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer\.json: not a readable tokenizer"):
        token_counter(tmp_path)
