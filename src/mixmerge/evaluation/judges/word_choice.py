"""The probabilities that a language model gives to some words as the beginning of its reply."""

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from mixmerge.chat.sandbox import RefusedError
from mixmerge.errors import ModelError
from mixmerge.evaluation.loaded_model import LoadedModel
from mixmerge.fingerprint import fingerprint

OPENING = "VERDICT:"
"""The prefilled beginning of the reply, so that the next word is the verdict."""


@dataclass(frozen=True)
class Choice:
    """A judge's prompt and the words that it may choose from, as tokens."""

    context: tuple[int, ...]
    """The prompt with the opening of the reply."""
    words: tuple[tuple[int, ...], ...]
    """The tokens of each word after the context; none is empty."""

    @property
    def rows(self) -> list[tuple[int, ...]]:
        """The fewest token rows that cover all but the last token of every word.

        Words that share their first tokens share a row, so one row is usually enough.
        """
        beginnings = sorted({word[:-1] for word in self.words}, key=len, reverse=True)
        kept: list[tuple[int, ...]] = []
        for beginning in beginnings:
            if not any(row[: len(beginning)] == beginning for row in kept):
                kept.append(beginning)
        return kept

    @property
    def longest(self) -> int:
        """Tokens of the longest word in its context."""
        return len(self.context) + max(map(len, self.words))


def choice(model: LoadedModel, text: str, words: Sequence[str]) -> Choice:
    """Encode a user message in the model's chat template, up to the word to choose.

    Raises:
        ModelError: the chat template refuses a single user message.
    """
    asked = _asked(model, text)
    if controls := _controls_in(model, text):
        before, _, after = _asked(model, fingerprint(text)).partition(fingerprint(text))
        # The template may strip the text.
        inner = text if text in asked else text.strip()
        first = [*_encode(model, before), *_as_data(model, inner, controls)]
        rows = [first + _encode(model, f"{after}{OPENING} {word}") for word in words]
    else:
        rows = [_encode(model, f"{asked}{OPENING} {word}") for word in words]
    # Some tokenizers join the end of the opening with the word, so the context is what all share.
    shared = next(
        (i for i, tokens in enumerate(zip(*rows, strict=False)) if len(set(tokens)) > 1),
        min(map(len, rows)),
    )
    return Choice(tuple(rows[0][:shared]), tuple(tuple(row[shared:]) for row in rows))


def _asked(model: LoadedModel, text: str) -> str:
    try:
        return model.chat().prompt([{"role": "user", "content": text}])
    except RefusedError as error:
        raise ModelError(
            f"{model.folder.path}: the chat template refuses a question to the judge: {error}. "
            "A judge gets one user message: use a model whose template accepts that."
        ) from error


def _encode(model: LoadedModel, text: str) -> list[int]:
    return model.chat().tokens(text)


def _controls_in(model: LoadedModel, text: str) -> list[str]:
    """Return the model's control tokens that a text spells, its template's among them."""
    tokenizer = model.tokenizer
    written = str(tokenizer.chat_template)
    added = [
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.content.strip() and (token.special or token.content in written)
    ]
    return [token for token in {*added, *tokenizer.all_special_tokens} if token in text]


def _as_data(model: LoadedModel, text: str, controls: Sequence[str]) -> list[int]:
    """Encode a text without control tokens: each one in the text is cut in two."""
    ids: list[int] = []
    found = re.compile("|".join(f"(?={re.escape(control)})" for control in controls))
    cuts = [0, *(match.start() + 1 for match in found.finditer(text)), len(text)]
    for start, end in itertools.pairwise(cuts):
        ids += _encode(model, text[start:end])
    return ids


def probabilities(model: LoadedModel, choices: Sequence[Choice]) -> list[list[float]]:
    """Return the probability of each word of each choice, given its context.

    The probability of a longer word is not counted again for a shorter word that it begins with (10
    and 1). A list may sum to less than one, since the model may prefer to say something else.
    """
    asked = [(q, row) for q in choices for row in q.rows]
    ids, mask = model.padded([q.context + row for q, row in asked])
    with torch.inference_mode():
        logits = model.network(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
            logits_to_keep=1 + max(len(row) for _, row in asked),
        ).logits
    tables = iter(torch.log_softmax(logits.float(), dim=-1).cpu())
    found = []
    for q in choices:
        table_of = {row: next(tables) for row in q.rows}
        begun = {word: math.exp(_log_probability(word, table_of)) for word in q.words}
        found.append(
            [
                begun[word] - sum(begun[n] for n in q.words if n != word and n[: len(word)] == word)
                for word in q.words
            ]
        )
    return found


def _log_probability(
    word: tuple[int, ...], table_of: Mapping[tuple[int, ...], torch.Tensor]
) -> float:
    """Sum the log-probabilities of a word's tokens, from a row that covers all but the last."""
    row = next(row for row in table_of if row[: len(word) - 1] == word[:-1])
    table = table_of[row]
    first = len(table) - 1 - len(row)
    return sum(float(table[first + i, token]) for i, token in enumerate(word))
