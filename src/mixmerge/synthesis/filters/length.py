"""Rows whose prompt or answer is shorter or longer than wanted."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from mixmerge.mixing.mixture import token_counter
from mixmerge.records import Message, TrainingPrompt
from mixmerge.synthesis.filters.filter import FilterContext, FilterSpec, texts
from mixmerge.synthesis.filters.shingles import words_of
from mixmerge.synthesis.row import Row

Bound = tuple[int | None, int | None]
"""The least and the most; None where there is no bound."""


class LengthSpec(FilterSpec):
    """Bounds of the prompt and of every answer; both bounds are still allowed lengths."""

    key = "length"

    length: Literal["words", "characters", "tokens"]
    """The unit. A character of a script without spaces between words counts as a word."""
    prompt: Bound | None = None
    """The least and the most, e.g. ``[3, 400]``; null where there is no bound."""
    answer: Bound | None = None
    """The same for answers; of a pair, for both."""
    tokenizer: Path | None = None
    """For ``tokens``: a model or tokenizer folder."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for name in ("prompt", "answer"):
            least, most = getattr(self, name) or (None, None)
            if least is not None and most is not None and least > most:
                raise ValueError(f"`{name}`: the least, {least}, is more than the most, {most}")
        if self.prompt is None and self.answer is None:
            raise ValueError("`length` needs bounds: `prompt: [3, 400]`, `answer`, or both")
        if (self.length == "tokens") != (self.tokenizer is not None):
            raise ValueError("`tokenizer` is the folder that counts `tokens`: give both or neither")
        return self

    def paths(self) -> dict[str, Path]:
        """Return the tokenizer's folder."""
        return {} if self.tokenizer is None else {"tokenizer": self.tokenizer}

    def build(self, context: FilterContext) -> "Length":  # noqa: ARG002
        """Return the filter.

        Raises:
            ModelError: the tokenizer cannot be read.
        """
        return Length(self)


class Length:
    """Drops rows with a text out of bounds; see `RowFilter`."""

    def __init__(self, spec: LengthSpec) -> None:
        """Load the tokenizer, if tokens are counted.

        Raises:
            ModelError: it cannot be read.
        """
        self._spec = spec
        self.unread: Counter[str] = Counter()
        self._size = _counter(spec)

    def reasons(self, rows: Sequence[Row]) -> list[str | None]:
        """Return which text of a row is too short or too long, or None."""
        return [self._reason(row) for row in rows]

    def _reason(self, row: Row) -> str | None:
        for name, text in texts(row, "both"):
            bounds = self._spec.prompt if name == "prompt" else self._spec.answer
            if bounds is None:
                continue
            size = self._size(text)
            for wrong, bound, out in (
                ("short", bounds[0], bounds[0] is not None and size < bounds[0]),
                ("long", bounds[1], bounds[1] is not None and size > bounds[1]),
            ):
                if out:
                    seen = f"{size:,} {self._spec.length}, the bound is {bound:,}"
                    return f"{name} too {wrong}: {seen}"
        return None


def _counter(spec: LengthSpec) -> Callable[[str], int]:
    if spec.tokenizer is not None:
        return partial(_tokens, token_counter(spec.tokenizer))
    return len if spec.length == "characters" else lambda text: len(words_of(text))


def _tokens(count: Callable[[TrainingPrompt], int], text: str) -> int:
    if not text:
        return 0
    asked = (Message(role="user", content=text),)
    return count(TrainingPrompt(id="", source="", language="", prompt=asked))


SPEC = LengthSpec
