"""A model's tokenizer and chat template, and the token that ends a turn."""

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
    """Formats conversations for one model, as text and as tokens.

    ``model`` is its name in messages, ``options`` are those of the chat template, and
    ``training_template`` is a copy of the template with generation markers, if there is one.

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
        """The model's own, for prompts."""
        self.trained = self.template
        """The one for training: it writes the same text, and may mark the assistant's."""
        if training_template and not self.template.marks_the_assistant:
            self.trained = ChatTemplate(training_template, model, options, tokens)
        self.ends = frozenset({*tokenizer.get_added_vocab().values(), *tokenizer.all_special_ids})
        """The tokens that may end a turn: special tokens, which no ordinary text is encoded to."""

    def prompt(self, messages: Messages) -> str:
        """Format a prompt: turns up to where the assistant begins to answer.

        Raises:
            RefusedError: the template refuses them.
        """
        return self.template.write(messages, ask=True).text

    def conversation(self, messages: Messages) -> Written:
        """Format a whole conversation for training.

        Raises:
            RefusedError: the template refuses it.
        """
        return self.trained.write(messages)

    def tokens(self, text: str) -> list[int]:
        """Encode a text that the template has written.

        Raises:
            ModelError: the tokenizer fails.
        """
        return tokens_of(self.tokenizer, text, self.model)

    def breaks(self, text: str, places: Iterable[int]) -> list[int]:
        """Return the ends of the last special tokens before some places in a text, in order."""
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
        """The token that the template writes after an answer; None if it writes none."""
        asked = {"role": "user", "content": _PROBE}
        try:
            text = self.conversation([asked, {"role": "assistant", "content": _PROBE}]).text
        except (RefusedError, ModelError):
            return None
        _, found, rest = text.rpartition(_PROBE)
        for token in self.tokens(rest) if found else ():
            if token in self.ends:
                return token
            if self.tokenizer.decode([token]).strip():
                return None
        return None
