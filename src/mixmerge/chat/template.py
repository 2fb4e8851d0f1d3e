"""A chat template: conversations as the text that a model reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError

from mixmerge.chat.options import CLOCK, date_of
from mixmerge.chat.sandbox import RefusedError, Sandbox
from mixmerge.errors import ModelError

Messages = Sequence[Mapping[str, str]]
"""Turns with ``role`` and ``content``."""


@dataclass(frozen=True)
class Written:
    """A conversation as text.

    Attributes:
        spans: start and end of what the assistant says, in characters, where the template marks it
            with ``{% generation %}``.
    """

    text: str
    spans: tuple[tuple[int, int], ...]


class ChatTemplate:
    """A template with its options, which writes conversations as transformers would.

    Args:
        source: Jinja text.
        model: what to call the model in messages.
        options: variables of the template; see `mixmerge.chat.options`.
        tokens: the special tokens by the names that templates have for them, ``bos_token``.

    Raises:
        ModelError: the text is not valid Jinja.
    """

    def __init__(
        self, source: str, model: str, options: Mapping[str, Any], tokens: Mapping[str, str]
    ) -> None:
        self.marks_the_assistant = "endgeneration" in source
        """Whether the template says which of its text is the assistant's."""
        self.asks_for_the_date = CLOCK in source
        self.knows_thoughts = "enable_thinking" in source
        self._model = model
        self._variables = {**tokens, **{k: v for k, v in options.items() if k != CLOCK}}
        self._environment = Sandbox(date_of(dict(options)))
        try:
            self._generate = self._environment.rendered(source)
        except TemplateSyntaxError as error:
            raise ModelError(
                f"{model}: its chat template is not valid Jinja, line {error.lineno}: "
                f"{error.message}."
            ) from error
        except (TemplateError, RecursionError, SyntaxError, MemoryError, OverflowError) as error:
            raise ModelError(f"{model}: its chat template cannot be read: {error}.") from error

    def write(self, messages: Messages, *, ask: bool = False) -> Written:
        """Write a conversation.

        Args:
            messages: the turns.
            ask: end where the assistant begins to answer.

        Raises:
            RefusedError: the template refuses these messages.
            ModelError: it fails, or does too much work.
        """
        given = {
            "messages": [dict(message) for message in messages],
            "tools": None,
            "documents": None,
            "add_generation_prompt": ask,
        }
        pieces = []
        self._environment.begin()
        try:
            for piece in self._generate(self._variables | given):
                pieces.append(piece)
                self._environment.written += len(piece)
        except RefusedError:
            raise
        # A template may do whatever Python can: divide by zero, add a text to a number, overflow.
        except Exception as error:
            raise ModelError(
                f"{self._model}: its chat template fails ({type(error).__name__}: {error}). Mend "
                "the template, or copy that of the base model into the folder."
            ) from error
        return Written("".join(pieces), tuple(self._environment.spans))
