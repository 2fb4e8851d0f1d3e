"""A model's chat: its tokenizer and its template, with the token that ends a turn."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from mixmerge.chat.sandbox import RefusedError
from mixmerge.chat.template import ChatTemplate, Messages, Written
from mixmerge.chat.tokenizer import chat_template, tokens_of
from mixmerge.errors import ModelError

_PROBE = "MIXMERGE PROBE"


class Chat:
    """Writes conversations for one model, as text and as tokens.

    Args:
        tokenizer: a transformers tokenizer.
        model: what to call the model in messages.
        options: of the chat template.
        training_template: the template with generation markers, where another is known.

    Raises:
        ModelError: there is no chat template, or it is not valid Jinja.
    """

    def __init__(
        self,
        tokenizer: Any,
        model: str,
        options: Mapping[str, Any],
        training_template: str | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.model = model
        source = chat_template(tokenizer, model)
        tokens = tokenizer.special_tokens_map
        self.template = ChatTemplate(source, model, options, tokens)
        """The model's own, by which it is asked."""
        self.trained = self.template
        """The one by which it is trained: it writes the same, and may mark more."""
        if training_template and not self.template.marks_the_assistant:
            self.trained = ChatTemplate(training_template, model, options, tokens)
        self.ends = frozenset({*tokenizer.get_added_vocab().values(), *tokenizer.all_special_ids})
        """The tokens that may end a turn: those that no text spells."""

    def asked(self, messages: Messages) -> str:
        """Write turns up to where the assistant begins to answer.

        Raises:
            RefusedError: the template refuses them.
        """
        return self.template.write(messages, ask=True).text

    def told(self, messages: Messages) -> Written:
        """Write a whole conversation, as it is trained on.

        Raises:
            RefusedError: the template refuses it.
        """
        return self.trained.write(messages)

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text that the template has written.

        Raises:
            ModelError: the tokenizer fails at it.
        """
        return tokens_of(self.tokenizer, text, self.model)

    def breaks(self, text: str, places: Iterable[int]) -> list[int]:
        """Return the ends of special tokens that stand next before places in a text, in order."""
        ends = [found.end() for found in self._special.finditer(text)]
        at = (bisect_right(ends, place) for place in places)
        return sorted({ends[index - 1] for index in at if index} - {0, len(text)})

    @cached_property
    def _special(self) -> re.Pattern[str]:
        known = [token.content for token in self.tokenizer.added_tokens_decoder.values()]
        longest_first = sorted(filter(None, known), key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    @cached_property
    def end_of_turn(self) -> int | None:
        """The token that the template writes after an answer; None where it writes none."""
        asked = {"role": "user", "content": _PROBE}
        try:
            text = self.told([asked, {"role": "assistant", "content": _PROBE}]).text
        except (RefusedError, ModelError):
            return None
        _, found, rest = text.rpartition(_PROBE)
        for token in self.tokens(rest) if found else ():
            if token in self.ends:
                return token
            if self.tokenizer.decode([token]).strip():
                return None
        return None
