"""Training rows: chat conversations and preference pairs."""

from typing import Literal, Self

from pydantic import Field, model_validator

from mixmerge.records.row import RowModel


class Message(RowModel):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1)
    weight: Literal[0, 1] = Field(default=1, exclude_if=lambda weight: weight == 1)
    """Of the assistant: 0 keeps the turn out of the loss. Written only where it is 0."""


class Conversation(RowModel):
    """One supervised example: turns that end with the assistant's."""

    id: str
    """Unique within its source and language; copies of one row in a mixture keep it."""
    source: str
    """Name of the data source in the study file."""
    language: str
    """ISO 639-1 code where one exists, e.g. ``hi``."""
    messages: tuple[Message, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _ends_with_the_assistant(self) -> Self:
        if self.messages[-1].role != "assistant":
            raise ValueError("the last message must be the assistant's")
        if not any(turn.weight for turn in self.messages if turn.role == "assistant"):
            raise ValueError("every message of the assistant has `weight: 0`: nothing is trained")
        return self

    @property
    def prompt_text(self) -> str:
        """All turns before the last, joined: what duplicates and overlap are decided on."""
        return "\n".join(message.content for message in self.messages[:-1])


class PreferencePair(RowModel):
    """One preference example: a prompt, the answer to prefer and the answer to avoid."""

    id: str
    source: str
    language: str
    prompt: tuple[Message, ...] = Field(min_length=1)
    """Turns that end with the user's."""
    chosen: str = Field(min_length=1)
    rejected: str = Field(min_length=1)

    @model_validator(mode="after")
    def _is_a_preference(self) -> Self:
        if self.prompt[-1].role != "user":
            raise ValueError("the last message of the prompt must be the user's")
        if self.chosen == self.rejected:
            raise ValueError("`chosen` and `rejected` must differ")
        return self

    @property
    def prompt_text(self) -> str:
        """All turns of the prompt, joined: what duplicates and overlap are decided on."""
        return "\n".join(message.content for message in self.prompt)

    def as_conversation(self) -> Conversation:
        """Return the supervised example of this pair: its prompt with the chosen answer."""
        answer = Message(role="assistant", content=self.chosen)
        return Conversation(
            id=self.id, source=self.source, language=self.language, messages=(*self.prompt, answer)
        )
