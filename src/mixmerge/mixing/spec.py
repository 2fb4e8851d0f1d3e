"""The specification of a mixture: its sources, shares, languages and size."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mixmerge.records import Conversation, LabelledCompletion, PreferencePair, TrainingPrompt
from mixmerge.spec_model import Problem, SpecModel, refusal, unknown_name
from mixmerge.tables import DataSpec

TrainingRow = Conversation | PreferencePair | LabelledCompletion | TrainingPrompt
Form = Literal["conversations", "preferences", "labelled", "prompts"]
FORMS: dict[Form, type[TrainingRow]] = {
    "conversations": Conversation,
    "preferences": PreferencePair,
    "labelled": LabelledCompletion,
    "prompts": TrainingPrompt,
}
"""The type of a row in each form."""

Unit = Literal["rows", "tokens"]

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A share before normalisation: 85 and 15 are the same as 0.85 and 0.15."""


class Columns(SpecModel):
    """The column of each field.

    A field left out is looked up under its own name, and then under the names of common formats
    (Alpaca, ShareGPT, ``prompt`` and ``completion``, UltraFeedback), so that such rows need no
    mapping; null leaves a field unread. A row consists of the columns that are there: ``messages``,
    or ``prompt`` and ``answer``, or ``chosen`` and ``rejected`` with or without ``prompt``, or
    ``prompt`` and ``completions``, or ``text``.
    """

    messages: str | None = None
    """A whole conversation: a list of ``{role, content}`` that ends with the assistant's turn."""
    prompt: str | Annotated[list[str], Field(min_length=1)] | None = None
    """The user's text, or a list of ``{role, content}`` that ends with the user's turn. Several
    columns of text are joined with an empty line: ``[instruction, input]``."""
    answer: str | None = None
    """The assistant's text."""
    chosen: str | None = None
    """The preferred answer: its text, or messages that end with it."""
    rejected: str | None = None
    """The rejected answer: its text, or messages that end with it."""
    completions: str | None = None
    """Several answers, a list of texts or of objects; the best is taken, for pairs with the worst.
    """
    scores: str | None = None
    """A list of their scores, or the key of the score in each of them; higher is better."""
    text: str | None = None
    """A whole conversation as one text with marked turns: ``User: …``, ``### Human: …``, ChatML."""
    system: str | None = None
    """The system message, put before the turns; may be empty."""
    accepted: str | None = None
    """With ``form: prompts``: the right answer, or a list of them, for judges that compare. By
    default the answer of the row, if it has one."""
    tests: str | None = None
    """With ``form: prompts``: Python source of a test, or a list of them, for the judge ``tests``.
    """
    category: str | None = None
    """With ``form: prompts``: a category that a rubric may name."""
    label: str | None = None
    """Whether the answer is good, as in KTO's rows. As conversations, rows where it is false are
    left out and counted."""
    id: str | None = None
    """An id of the row, unique within source and language (translations may share one).

    Without such a column, or with null, it is a digest of the row's content."""
    language: str | None = None
    """The row's language."""


class SourceSpec(DataSpec):
    """One source of rows."""

    columns: Columns = Columns()
    """The column of each field."""
    broken: Literal["refuse", "drop"] = "refuse"
    """What to do with an unusable row: stop and name it, or drop and count it."""

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        if (self.files is None) == (self.hub is None):
            raise ValueError("a source has either `files` or `hub`: give exactly one of them")
        if self.hub is None and (self.config or self.revision or self.split != "train"):
            raise ValueError("`config`, `split` and `revision` belong to `hub`, not to `files`")
        return self

    @model_validator(mode="after")
    def _says_the_language_once(self) -> Self:
        ways = {
            "files by language": isinstance(self.files, dict),
            "`language`": self.language is not None,
            "`columns.language`": self.columns.language is not None,
        }
        used = [way for way, taken in ways.items() if taken]
        if len(used) > 1:
            raise ValueError(f"the language is given twice ({' and '.join(used)}): keep one")
        return self


class MixtureSpec(SpecModel):
    """One training set: exact counts by source and language."""

    size: int = Field(ge=1)
    """Size of the mixture, in rows or tokens."""
    shares: dict[str, Weight] = Field(min_length=1)
    """Weight of each data source; they need not sum to one."""
    language_shares: dict[str, Weight] | None = None
    """Weight of each language; equal by default. A weight of 0 leaves a language out."""
    unit: Unit = "rows"
    """The unit of `size` and the shares."""
    when_short: Literal["error", "repeat"] = "error"
    """What to do when a source has too few rows in a language."""
    most_copies: int = Field(default=1, ge=1)
    """With ``when_short: repeat``: how often one row may occur."""

    def problems(
        self, section: str, sources: Collection[str], languages: Collection[str]
    ) -> Iterator[Problem]:
        """Yield problems that types cannot express.

        ``section`` is the section of the file that names the sources.
        """
        for source in self.shares:
            if source not in sources:
                yield ("shares", source), unknown_name(source, section, sources)
        if not sum(self.shares.values()) > 0:
            yield ("shares",), "all shares are zero; at least one must be positive."
        if self.when_short == "repeat" and self.most_copies < 2:
            yield ("when_short",), "`repeat` needs `most_copies` of 2 or more."
        if self.when_short == "error" and self.most_copies > 1:
            yield ("most_copies",), "needs `when_short: repeat`."
        if self.language_shares is not None:
            yield from _language_problems(self.language_shares, languages)


def _language_problems(
    shares: Mapping[str, float], languages: Collection[str]
) -> Iterator[Problem]:
    here = "language_shares"
    for language in shares:
        if language not in languages:
            yield (here, language), unknown_name(language, "languages", languages)
    left = [each for each in languages if each not in shares]
    if left:
        yield (here,), f"no share for {', '.join(left)}; 0 leaves a language out."
    elif not sum(shares.values()) > 0:
        yield (here,), "all shares are zero; at least one must be positive."


class MixSpec(MixtureSpec):
    """A mixture and its sources: the file that ``mixmerge mix`` reads."""

    sources: dict[str, SourceSpec] = Field(min_length=1)
    """The sources by name. All are read and deduplicated together, even with a share of 0, so that
    mixtures of the same sources draw from the same rows."""
    languages: list[str] = Field(default=["en"], min_length=1)
    """Languages of the mixture; rows in other languages are left out and counted."""
    tokenizer: Path | None = None
    """Model or tokenizer folder for counting tokens; required for ``unit: tokens``. Answers differ
    in length between languages: equal shares of rows are not equal shares of tokens."""
    form: Form = "conversations"
    """Conversations, preference pairs, single answers with a label of good or bad, or prompts whose
    answers are made and judged in training."""
    seed: int = 0
    """Seeds the choice of rows and their order."""
    held_out: list[Path] = []
    """Prompt files of the evaluations; their prompts must not be in the training rows."""
    overlap: Literal["refuse", "drop"] = "drop"
    """What to do with rows that overlap a held-out prompt: stop, or drop, count and list them."""
    overlap_words: int | None = Field(default=None, ge=5)
    """A row also overlaps if it shares a run of this many words with a held-out prompt (13 in Brown
    et al. 2020, arXiv:2005.14165). Off by default, since questions made from one template share
    long runs without being the same question."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        found = list(self.problems("sources", self.sources, self.languages))
        if len(set(self.languages)) < len(self.languages):
            found.append((("languages",), "a language is named twice."))
        if self.unit == "tokens" and self.tokenizer is None:
            found.append((("unit",), "`tokens` needs `tokenizer`, the folder that counts them."))
        if found:
            raise refusal(MixSpec, dict(self), found)
        return self
