"""The rows that the parts of mixmerge exchange: training rows, prompts, answers and verdicts.

They are immutable, and an unknown field is an error.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator


class RowModel(BaseModel):
    """A row that reads back exactly what it wrote."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)


class SchemaModel(RowModel):
    """A file that states the version of its schema, because other tools read it."""

    model_config = ConfigDict(
        serialize_by_alias=True, validate_by_name=True, validate_by_alias=True
    )

    schema_: Literal[2] = Field(2, alias="schema")


class Message(RowModel):
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str = Field(min_length=1)
    weight: Literal[0, 1] = Field(default=1, exclude_if=lambda weight: weight == 1)
    """0 keeps an assistant's turn out of the loss. Written only if 0."""


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
        """All turns before the last, joined; compared for duplicates and overlap."""
        return "\n".join(message.content for message in self.messages[:-1])


class _Asked(RowModel):
    """A row with a prompt of its own."""

    id: str
    source: str
    language: str
    prompt: tuple[Message, ...] = Field(min_length=1)
    """Turns that end with the user's."""

    @model_validator(mode="after")
    def _ends_with_the_user(self) -> Self:
        if self.prompt[-1].role != "user":
            raise ValueError("the last message of the prompt must be the user's")
        return self

    @property
    def prompt_text(self) -> str:
        """All turns of the prompt, joined; compared for duplicates and overlap."""
        return "\n".join(message.content for message in self.prompt)

    def _answered(self, text: str) -> Conversation:
        answer = Message(role="assistant", content=text)
        return Conversation(
            id=self.id, source=self.source, language=self.language, messages=(*self.prompt, answer)
        )


class LabelledCompletion(_Asked):
    """One unpaired preference example: a prompt, an answer, and whether the answer is good."""

    completion: str = Field(min_length=1)
    label: StrictBool
    """Whether the answer is desirable."""

    def as_conversation(self) -> Conversation:
        """Return the prompt with the answer."""
        return self._answered(self.completion)


def contrasted(labels: Iterable[bool]) -> None:
    """Check that labelled answers are both good and bad; from one kind alone nothing is learnt.

    Raises:
        ValueError: they are all good or all bad.
    """
    counts = Counter(labels)
    if len(counts) == 1:
        ((label, count),) = counts.items()
        raise ValueError(
            f"the `label` of all {count:,} rows is {str(label).lower()}; good answers are learnt "
            "in contrast to bad ones. Add rows of the other kind, or train on conversations "
            "(`method: sft`)."
        )


class PreferencePair(_Asked):
    """One preference example: a prompt, the preferred answer and the rejected one."""

    chosen: str = Field(min_length=1)
    rejected: str = Field(min_length=1)

    @model_validator(mode="after")
    def _is_a_preference(self) -> Self:
        if self.chosen == self.rejected:
            raise ValueError("`chosen` and `rejected` must differ")
        return self

    def as_conversation(self) -> Conversation:
        """Return the supervised example of this pair: its prompt with the chosen answer."""
        return self._answered(self.chosen)

    def as_labelled(self) -> tuple[LabelledCompletion, LabelledCompletion]:
        """Return both answers as rows of their own: the chosen one is good, the other is not."""
        known = {name: getattr(self, name) for name in ("source", "language", "prompt")}
        chosen, rejected = (
            LabelledCompletion(id=f"{self.id}-{side}", completion=text, label=good, **known)
            for side, text, good in (
                ("chosen", self.chosen, True),
                ("rejected", self.rejected, False),
            )
        )
        return chosen, rejected


class TrainingPrompt(_Asked):
    """A prompt whose answers are made and judged in training, with what a judge checks them by."""

    accepted: tuple[str, ...] = Field(default=(), exclude_if=lambda texts: not texts)
    """Reference answers, each of them correct. Written only if there are any."""
    tests: tuple[str, ...] = Field(default=(), exclude_if=lambda tests: not tests)
    """Python source of tests for the code of an answer. Written only if there are any."""
    category: str | None = Field(default=None, exclude_if=lambda category: category is None)
    """For example a harm category. Written only if there is one."""

    def as_prompt(self, answer: int = 0) -> "Prompt":
        """Return what a judge reads of this row beside its ``answer``-th answer.

        The id differs for each answer, since verdicts are found by it.
        """
        return Prompt(
            id=f"{self.source}/{self.id}" + (f", answer {answer}" if answer else ""),
            cluster=self.id,
            language=self.language,
            category=self.category,
            messages=self.prompt,
            accepted=self.accepted,
            tests=self.tests,
        )


Translated = Literal["none", "human", "machine"]
"""Who translated a prompt: ``none``, it was written in its language; ``human``, a person translated
it or edited a translation; ``machine``, a model translated it without a check."""


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
    """Reference answers in this language, if the question has any; each one is correct."""
    tests: tuple[str, ...] = ()
    """Python source of tests for the code of an answer; a failing test raises an error."""
    translated: Translated = "none"
    """Whether and how the prompt was translated."""
    scope: Literal["global", "local"] | None = None
    """Whether a harm applies everywhere, or only where the language is spoken."""

    @property
    def text(self) -> str:
        """All turns, joined."""
        return "\n".join(message.content for message in self.messages)


class Response(RowModel):
    """One answer of one model; its decoding settings are in the step that made it."""

    prompt: str
    """`Prompt.id`."""
    text: str
    """The answer without special tokens and thoughts; empty if the model stopped at once, or ended
    while still thinking."""
    thoughts: str = Field(default="", exclude_if=lambda thoughts: not thoughts)
    """The model's block of thoughts before the answer, which no judge sees. Written only if there
    is one."""
    finish_reason: Literal["stop", "length", "filter"]
    """``stop``: the model ended its turn; ``length``: it reached the token limit; ``filter``: the
    endpoint withheld the answer."""
    tokens: int = Field(ge=0)
    """Generated tokens, including thoughts and the end of turn; 0 if the endpoint does not count
    them."""


Axis = str
"""A study's name for one quality that it measures."""

Outcome = Literal["win", "tie", "loss", "yes", "no", "graded", "unreadable", "refused", "error"]
"""``win|tie|loss``: a comparison with the base model's answer. ``yes|no``: whether the answer has
the outcome that the axis counts, such as being harmful or correct. ``graded``: the judge gave a
number, in `Verdict.score`. ``unreadable``: the judge's reply has no verdict; ``refused``: the judge
refused; ``error``: the call failed. The last three are counted and reported, never imputed."""

MISSING: frozenset[Outcome] = frozenset({"unreadable", "refused", "error"})
WORTH: dict[Outcome, float] = {"win": 1.0, "tie": 0.5, "loss": 0.0, "yes": 1.0, "no": 0.0}
"""The score of an outcome, from 0 to 1."""


class Verdict(RowModel):
    """One judgement of one answer, or of a pair of answers in one order."""

    prompt: str
    """`Prompt.id`."""
    cluster: str
    language: str
    category: str | None = None
    axis: Axis
    judge: str
    """The judge with the version of its rules or rubric, e.g. ``rules@1``."""
    order: Literal["model-first", "base-first"] | None = None
    """For comparisons: whose answer the judge saw first; None if the order cannot matter."""
    outcome: Outcome
    """Seen from the model under evaluation."""
    score: float | None = None
    """The grade, with the outcome ``graded`` only."""
    reason: str = ""
    """The judge's explanation, or why there is no verdict."""
    notes: dict[str, str] = Field(default_factory=dict)
    """Other fields that the rubric asks for, e.g. ``severity`` or ``language``."""
    votes: dict[str, Outcome] = Field(default_factory=dict)
    """For a panel: the outcome of each judge, by `judge`."""

    @model_validator(mode="after")
    def _has_a_score_if_graded(self) -> Self:
        if (self.outcome == "graded") != (self.score is not None):
            raise ValueError(
                "`score` belongs to the outcome `graded` and to no other "
                f"(seen: {self.outcome}, score {self.score})"
            )
        return self


def by_prompt(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    """Return the verdicts on each prompt: in both orders, and of several judges."""
    grouped: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        grouped.setdefault(verdict.prompt, []).append(verdict)
    return grouped


def score_of(verdicts: Iterable[Verdict], worth: Callable[[Verdict], float]) -> float:
    """Return the score of one prompt by all verdicts on it; NaN if one of them is missing.

    The score of a comparison is the mean over both orders, and several judges have equal weight,
    whether they judged in one order or in two. With one order of two, the judge's position bias
    would decide; so a prompt with any unreadable, refused or failed verdict has no score.
    """
    by_judge: dict[str, list[float]] = {}
    for verdict in verdicts:
        if verdict.outcome in MISSING:
            return float("nan")
        by_judge.setdefault(verdict.judge, []).append(worth(verdict))
    return sum(sum(said) / len(said) for said in by_judge.values()) / len(by_judge)
