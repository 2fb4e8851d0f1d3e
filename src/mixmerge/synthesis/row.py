"""One generated row: its content, and where it comes from.

A file of rows is a source for mixing as it is: ``id``, ``language``, ``category`` and the content
have the names that sources use; everything else is under ``provenance``, which no one has to read.
"""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from mixmerge.fingerprint import fingerprint
from mixmerge.records import Message, RowModel, Translated

Kind = Literal["prompt", "messages", "pair"]
"""What a row contains: a prompt alone, a prompt with an answer, or with two answers."""

ROWS, DROPPED = "rows.jsonl", "dropped.jsonl"
"""The finished rows (`Row`), and those that were dropped (`DroppedRow`)."""


def _absent(value: object) -> bool:
    return value is None


class MadeBy(RowModel):
    """One step that made or changed a row."""

    step: str
    """The step's name in the specification."""
    recipe: str
    model: str
    """The model's name at its endpoint, the content of its folder, or the judge."""
    prompt: str
    """The version of the recipe's instruction: the beginning of the SHA-256 of its text; empty for
    a translation model, which has none."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """What else determined the text: temperature, style, target language, number of the sample."""
    measured: dict[str, float] = Field(default_factory=dict, exclude_if=lambda values: not values)
    """What was measured of the text, such as ``chrf`` of its translation back."""


class Provenance(RowModel):
    """Where a row comes from."""

    source: str
    """The name of its seeds in the specification."""
    seed: str
    """The id of its seed row; copies and translations of one seed share it."""
    licence: str | None = None
    """Of the seeds' source."""
    translated: Translated = "none"
    """Who translated the prompt last."""
    made_by: tuple[MadeBy, ...] = ()
    """The steps in order; empty for a seed."""


class Row(RowModel):
    """A prompt, a prompt with an answer (``messages``), or a preference pair."""

    id: str
    """A digest of everything else."""
    language: str
    category: str | None = Field(None, exclude_if=_absent)
    """For example a harm category."""
    prompt: tuple[Message, ...] | None = Field(None, min_length=1, exclude_if=_absent)
    """Turns that end with the user's."""
    messages: tuple[Message, ...] | None = Field(None, min_length=2, exclude_if=_absent)
    """Turns that end with the assistant's."""
    chosen: str | None = Field(None, min_length=1, exclude_if=_absent)
    """The preferred answer to ``prompt``."""
    rejected: str | None = Field(None, min_length=1, exclude_if=_absent)
    """The answer to avoid."""
    margin: float | None = Field(None, exclude_if=_absent)
    """By how much the judge prefers ``chosen``, in the judge's unit."""
    provenance: Provenance

    @model_validator(mode="after")
    def _has_one_content(self) -> Self:
        given = tuple(
            name
            for name in ("prompt", "messages", "chosen", "rejected")
            if getattr(self, name) is not None
        )
        if given not in (("prompt",), ("messages",), ("prompt", "chosen", "rejected")):
            raise ValueError(
                "a row has `prompt`, or `messages`, or `prompt`, `chosen` and `rejected` (seen: "
                f"{', '.join(given) or 'none'})"
            )
        if self.asked[-1].role != "user":
            raise ValueError("the last turn before an answer must be the user's")
        if self.messages and self.messages[-1].role != "assistant":
            raise ValueError("`messages` must end with the assistant's message")
        return self

    @classmethod
    def made(cls, **content: Any) -> Self:
        """Return the row of this content and provenance, with its id.

        Raises:
            ValidationError: a text is empty, or the fields are not those of one kind.
        """
        row = cls(id="", **content)
        digest = fingerprint(row.model_dump(mode="json", exclude={"id"}))
        return row.model_copy(update={"id": digest[:16]})

    def derived(self, by: MadeBy, **changes: Any) -> Self:
        """Return a row that a step made of this one.

        ``changes`` are new values of fields; ``translated`` is that of the provenance. Fields of
        the old content that the new kind does not have are set to None by the caller.

        Raises:
            ValidationError: as `made`.
        """
        own = {name: getattr(self, name) for name in type(self).model_fields if name != "id"}
        translated = changes.pop("translated", self.provenance.translated)
        made_by = (*self.provenance.made_by, by)
        update = {"translated": translated, "made_by": made_by}
        return self.made(
            **{**own, "provenance": self.provenance.model_copy(update=update), **changes}
        )

    def answered(self, by: MadeBy, answer: str) -> Self:
        """Return this row's prompt with an answer."""
        messages = (*self.asked, Message(role="assistant", content=answer))
        return self.derived(
            by, prompt=None, chosen=None, rejected=None, margin=None, messages=messages
        )

    def paired(self, by: MadeBy, chosen: str, rejected: str, margin: float | None = None) -> Self:
        """Return this row's prompt with a preferred answer and one to avoid."""
        return self.derived(
            by, prompt=self.asked, messages=None, chosen=chosen, rejected=rejected, margin=margin
        )

    @property
    def kind(self) -> Kind:
        """What this row contains."""
        if self.messages is not None:
            return "messages"
        return "prompt" if self.chosen is None else "pair"

    @property
    def asked(self) -> tuple[Message, ...]:
        """The turns that an answer follows."""
        return self.prompt if self.prompt is not None else (self.messages or ())[:-1]

    @property
    def prompt_text(self) -> str:
        """All turns of the prompt, joined; compared for duplicates and overlap."""
        return "\n".join(message.content for message in self.asked)

    @property
    def answers(self) -> tuple[str, ...]:
        """The texts of its answers: none, one, or the chosen and the rejected one."""
        if self.messages is not None:
            return (self.messages[-1].content,)
        return () if self.chosen is None or self.rejected is None else (self.chosen, self.rejected)


class DroppedRow(RowModel):
    """A row that was left out, and why. One line of ``dropped.jsonl``."""

    step: str
    """The step or filter that dropped it."""
    reason: str
    """One of few sentences, which the report counts."""
    detail: str = Field("", exclude_if=lambda text: not text)
    """What was seen in this row, such as the reply of a model."""
    row: Row
    """The row as it was before the step."""
