"""What a model is asked in an evaluation, and what it answers."""

from typing import Literal

from pydantic import Field

from mixmerge.records.conversation import Message
from mixmerge.records.row import RowModel

Translated = Literal["none", "human", "machine"]
"""Who put a prompt into its language: ``none``, it was written in it; ``human``, a person
translated it or edited a translation; ``machine``, a model translated it and nobody checked."""


class Prompt(RowModel):
    """One prompt of one language. Translations of one question share a cluster."""

    id: str
    """Unique within its prompt set."""
    cluster: str
    """The source question: the unit that intervals and tests resample."""
    language: str
    category: str | None = None
    """For example a harm category."""
    messages: tuple[Message, ...] = Field(min_length=1)
    """The turns shown to the model, ending with the user's."""
    accepted: tuple[str, ...] = ()
    """Right answers in this language, where the question has them; any one of them will do."""
    tests: tuple[str, ...] = ()
    """Python source of tests for the code of an answer; each raises an error where it fails."""
    translated: Translated = "none"
    """Whether these are a translator's words."""
    scope: Literal["global", "local"] | None = None
    """Whether a harm is one everywhere, or only where the language is spoken."""

    @property
    def text(self) -> str:
        """All turns, joined."""
        return "\n".join(message.content for message in self.messages)


class Response(RowModel):
    """One answer of one model; the decoding settings stand once, in the step that made it."""

    prompt: str
    """`Prompt.id`."""
    text: str
    """The answer without special tokens and thoughts; empty when the model stopped at once, or
    was still thinking when it ended."""
    thoughts: str = Field(default="", exclude_if=lambda thoughts: not thoughts)
    """What the model wrote before, in a block of thoughts: no judge reads it. Written only where
    there is one."""
    finish_reason: Literal["stop", "length", "filter"]
    """``stop``: the model ended its turn; ``length``: it was cut off; ``filter``: the endpoint that
    serves the model withheld the answer."""
    tokens: int = Field(ge=0)
    """Tokens generated, thoughts and the end of turn included; 0 from an endpoint that does not
    count."""
