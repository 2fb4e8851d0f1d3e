"""Answers read from the tokens that a model wrote."""

from types import SimpleNamespace

import pytest

from mixmerge.chat.answers import AnswerText, read_answer

WORDS = ["<end>", "<stop>", "<think>", "</think>", "four", " is", " right"]
SPECIAL = {0: "<end>", 1: "<stop>"}


class Words:
    """A tokenizer of seven tokens, two of them special."""

    added_tokens_decoder = {  # noqa: RUF012 - a dictionary is what transformers has
        number: SimpleNamespace(content=text, special=True) for number, text in SPECIAL.items()
    }

    def decode(self, ids: list[int], *, skip_special_tokens: bool = False) -> str:
        """Join the words."""
        return "".join(WORDS[i] for i in ids if not (skip_special_tokens and i in SPECIAL))


@pytest.mark.parametrize(
    ("tokens", "opened", "expected"),
    [
        ([4, 5, 6, 0], False, AnswerText("four is right", "", 4, ended=True)),
        ([4, 5, 6], False, AnswerText("four is right", "", 3, ended=False)),
        # What follows the end of the turn is no part of the answer; padding may.
        ([4, 0, 5, 0], False, AnswerText("four", "", 2, ended=True)),
        ([4, 1, 0], False, AnswerText("four", "", 3, ended=True)),
        ([0], False, AnswerText("", "", 1, ended=True)),
        ([], False, AnswerText("", "", 0, ended=False)),
        ([2, 4, 3, 6, 0], False, AnswerText("right", "four", 5, ended=True)),
        ([4, 3, 6, 0], True, AnswerText("right", "four", 4, ended=True)),
        ([2, 4, 5], False, AnswerText("", "four is", 3, ended=False)),
    ],
)
def test_an_answer_ends_with_its_turn_and_is_no_thought(
    tokens: list[int], opened: bool, expected: AnswerText
) -> None:
    """Special tokens and thoughts are no part of the text, and the end of turn is counted."""
    assert read_answer(tokens, Words(), [0], opened=opened) == expected
