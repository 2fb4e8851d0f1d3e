"""Bounds of prompts and answers in words, characters and tokens."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.synthesis.filters.rows import reasons, row
from tokenizers import Tokenizer, models, pre_tokenizers

from mixmerge.errors import ModelError
from mixmerge.synthesis.filters.length import LengthSpec


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("one two three", 3),
        ("  ", 0),
        ("如何制作蛋糕", 6),
        ("ケーキ を cake", 5),
        ("مرحبا بك hello", 3),
        ("👩‍👩‍👧‍👦 family", 2),
        ("안녕 세상", 2),
    ],
)
def test_words_are_counted_in_every_script(text: str, words: int) -> None:
    """A text passes bounds of exactly its length; characters of unspaced scripts are words."""
    exact = LengthSpec(length="words", prompt=(words, words))
    assert reasons(exact, [row(text)]) == [None]
    more = LengthSpec(length="words", prompt=(words + 1, None))
    expected = f"prompt too short: {words} words, the bound is {words + 1}"
    assert reasons(more, [row(text)]) == [expected]


def test_bounds_of_answers_hold_for_both_of_a_pair() -> None:
    """The message names the answer; prompts without a bound are not read."""
    spec = LengthSpec(length="characters", answer=(2, 5))
    rows = [row("Q" * 99, "fine", "too long"), row("Q", "x"), row("Q"), row("Q", "fine", "x")]
    assert reasons(spec, rows) == [
        "rejected answer too long: 8 characters, the bound is 5",
        "answer too short: 1 characters, the bound is 2",
        None,
        "rejected answer too short: 1 characters, the bound is 2",
    ]


def test_tokens_are_the_tokenizers(tmp_path: Path) -> None:
    """Tokens are counted by the tokenizer of a folder."""
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    spec = LengthSpec(length="tokens", prompt=(None, 3), tokenizer=tmp_path)
    assert reasons(spec, [row("aaa"), row("aaaa")]) == [
        None,
        "prompt too long: 4 tokens, the bound is 3",
    ]
    assert spec.paths() == {"tokenizer": tmp_path}
    missing = LengthSpec(length="tokens", prompt=(None, 3), tokenizer=tmp_path / "none")
    with pytest.raises(ModelError, match=r"no tokenizer\.json"):
        reasons(missing, [])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": "words"}, "needs bounds"),
        ({"length": "words", "prompt": [5, 3]}, "the least, 5, is more than the most, 3"),
        ({"length": "tokens", "prompt": [1, 3]}, "give both or neither"),
        ({"length": "words", "prompt": [1, 3], "tokenizer": "x"}, "give both or neither"),
    ],
)
def test_impossible_bounds_are_refused(settings: dict[str, object], message: str) -> None:
    """The specification says what is missing."""
    with pytest.raises(ValidationError, match=message):
        LengthSpec.model_validate(settings)
