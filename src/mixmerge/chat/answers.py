"""Read a model's answer from the tokens that it wrote, the same in training and evaluation."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from mixmerge.chat.thoughts import split_thoughts


class AnswerText(NamedTuple):
    """What a model wrote after a prompt."""

    text: str
    """Without special tokens and thoughts; empty if the tokens end inside a reasoning block."""
    thoughts: str
    tokens: int
    """Including thoughts and the end of turn."""
    ended: bool
    """Whether the model ended its turn."""


def read_answer(
    tokens: Sequence[int], tokenizer: Any, ends: Collection[int], *, opened: bool
) -> AnswerText:
    """Decode tokens up to the first that ends a turn, and separate reasoning and answer.

    ``opened`` says whether the prompt ends inside a reasoning block.
    """
    end = next((i for i, token in enumerate(tokens) if token in ends), None)
    kept = list(tokens if end is None else tokens[:end])
    split = split_thoughts(tokenizer.decode(kept), opened=opened)
    text = tokenizer.decode(kept, skip_special_tokens=True)
    if split.thoughts or not split.closed:
        text = _without_special_tokens(split.answer, tokenizer)
    return AnswerText(text, split.thoughts, len(kept) + (end is not None), end is not None)


def _without_special_tokens(text: str, tokenizer: Any) -> str:
    for token in tokenizer.added_tokens_decoder.values():
        if token.special:
            text = text.replace(token.content, "")
    return text.strip()
