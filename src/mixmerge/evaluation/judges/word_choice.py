"""How likely a language model finds each of a few words as the beginning of its reply."""

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
"""Put into the model's mouth, so that the next word is the verdict."""


@dataclass(frozen=True)
class Choice:
    """A text for the judge with the words that it may choose from, as tokens."""

    context: tuple[int, ...]
    """What the model reads, its opening included."""
    words: tuple[tuple[int, ...], ...]
    """The tokens of each word after the context; none is empty."""

    @property
    def rows(self) -> list[tuple[int, ...]]:
        """The fewest token rows that hold every word's tokens but the last, after the context.

        Words that share their first tokens share a row: mostly one row serves all words.
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
    """Write a text as the model's chat, up to the word that the model is to choose.

    Raises:
        ModelError: the model's chat template refuses a text of the user's alone.
    """
    asked = _asked(model, text)
    if controls := _controls_in(model, text):
        before, _, after = _asked(model, fingerprint(text)).partition(fingerprint(text))
        # Templates trim; and what is left as it is keeps the tokens that it has alone.
        inner = text if text in asked else text.strip()
        first = [*_encode(model, before), *_as_data(model, inner, controls)]
        rows = [first + _encode(model, f"{after}{OPENING} {word}") for word in words]
    else:
        rows = [_encode(model, f"{asked}{OPENING} {word}") for word in words]
    # Some tokenizers join the opening's end with the word: what all rows share is the context.
    shared = next(
        (i for i, tokens in enumerate(zip(*rows, strict=False)) if len(set(tokens)) > 1),
        min(map(len, rows)),
    )
    return Choice(tuple(rows[0][:shared]), tuple(tuple(row[shared:]) for row in rows))


def _asked(model: LoadedModel, text: str) -> str:
    try:
        return model.chat().asked([{"role": "user", "content": text}])
    except RefusedError as error:
        raise ModelError(
            f"{model.folder.path}: the chat template refuses a question to the judge: {error}. "
            "A judge is asked in one message of the user's: take a model with such a template."
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
    """Return the tokens of a text in which no control token is one: each is cut in two."""
    ids: list[int] = []
    found = re.compile("|".join(f"(?={re.escape(control)})" for control in controls))
    cuts = [0, *(match.start() + 1 for match in found.finditer(text)), len(text)]
    for start, end in itertools.pairwise(cuts):
        ids += _encode(model, text[start:end])
    return ids


def probabilities(model: LoadedModel, choices: Sequence[Choice]) -> list[list[float]]:
    """Return the probability of each word of each choice, given its context.

    A word with which another one begins (1, of 1 and 10) has only what the longer one leaves it.

    Returns:
        One list a choice, one number a word; a list may sum to less than one, as the model may
        want to say something else.
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
        found.append([begun[word] - _of_longer(word, begun) for word in q.words])
    return found


def _of_longer(word: tuple[int, ...], begun: Mapping[tuple[int, ...], float]) -> float:
    """Return the probability of the longer words that begin with a word."""
    return sum(p for other, p in begun.items() if other != word and other[: len(word)] == word)


def _log_probability(
    word: tuple[int, ...], table_of: Mapping[tuple[int, ...], torch.Tensor]
) -> float:
    """Sum a word's tokens over the table of a row that begins with all of them but the last."""
    row = next(row for row in table_of if row[: len(word) - 1] == word[:-1])
    table = table_of[row]
    first = len(table) - 1 - len(row)
    return sum(float(table[first + i, token]) for i, token in enumerate(word))
