"""Chat templates: conversations as the text that a model reads."""

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
    """A conversation as text."""

    text: str
    spans: tuple[tuple[int, int], ...]
    """Start and end of the assistant's text in characters, if ``{% generation %}`` marks it."""


class ChatTemplate:
    """A template with its options, which formats conversations as transformers does.

    ``source`` is Jinja, ``model`` the name in messages, and ``tokens`` are the special tokens by
    their names in templates, such as ``bos_token``.

    Raises:
        ModelError: the text is not valid Jinja.
    """

    def __init__(
        self, source: str, model: str, options: Mapping[str, Any], tokens: Mapping[str, str]
    ) -> None:
        self.marks_the_assistant = "endgeneration" in source
        """Whether the template marks the assistant's text."""
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
        """Format a conversation; with ``ask``, up to where the assistant begins to answer.

        Raises:
            RefusedError: the template refuses these messages.
            ModelError: it fails, or exceeds its limits.
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
        # A template's expressions may raise any of Python's errors.
        except Exception as error:
            raise ModelError(
                f"{self._model}: its chat template fails ({type(error).__name__}: {error}). Fix "
                "the template, or copy that of the base model into the folder."
            ) from error
        return Written("".join(pieces), tuple(self._environment.spans))
