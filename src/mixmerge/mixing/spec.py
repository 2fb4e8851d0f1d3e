"""What a mixture is asked to be: its sources, shares, languages and size."""

import difflib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mixmerge.spec_model import SpecModel

Form = Literal["conversations", "preferences"]
Unit = Literal["rows", "tokens"]

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""A share before normalisation: 85 and 15 say the same as 0.85 and 0.15."""


class Columns(SpecModel):
    """Which column of the data holds what.

    A field left out is looked up under its own name, so that rows which mixmerge wrote need no
    mapping at all. What a row consists of follows from the columns that are there: ``messages``,
    or ``prompt`` and ``answer``, or ``chosen`` and ``rejected`` with or without ``prompt``.
    """

    messages: str | None = None
    """A whole conversation: a list of ``{role, content}`` that ends with the assistant's turn."""
    prompt: str | None = None
    """The user's text, or a list of ``{role, content}`` that ends with the user's turn."""
    answer: str | None = None
    """The assistant's text."""
    chosen: str | None = None
    """The preferred answer: its text, or messages that end with it."""
    rejected: str | None = None
    """The answer to avoid: its text, or messages that end with it."""
    id: str | None = None
    """A name of the row, unique within source and language (translations may share one).

    Without such a column, or with null, it is a digest of the row's content."""
    language: str | None = None
    """The row's language."""


class SourceSpec(SpecModel):
    """One source of rows: local files, or a Hugging Face data set."""

    files: Path | list[Path] | dict[str, Path] | None = None
    """JSON Lines, Parquet or CSV files (told apart by suffix): one, several, or one a language."""
    hub: str | None = None
    """A data set of the Hugging Face hub, or a local data set folder."""
    config: str | None = None
    """Configuration of the hub data set."""
    split: str = "train"
    """Split of the hub data set; slices such as ``train[:1000]`` work."""
    revision: str | None = None
    """Commit or tag of the hub data set: give one, or a rerun may read other rows."""
    columns: Columns = Columns()
    """Which column holds what."""
    language: str | None = None
    """The language of all rows; wins over a column ``language`` that is not mapped."""
    language_names: dict[str, str] = {}
    """How this source names the languages, e.g. ``{English: en}``."""
    broken: Literal["refuse", "drop"] = "refuse"
    """What to do with a row that cannot be used: stop and name it, or drop and count it."""

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        if (self.files is None) == (self.hub is None):
            raise ValueError("a source has either `files` or `hub`: give exactly one of them")
        if self.hub is None and (self.config or self.revision or self.split != "train"):
            raise ValueError("`config`, `split` and `revision` belong to `hub`, not to `files`")
        if self.files in ([], {}):
            raise ValueError("`files` is empty: name at least one file")
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
            raise ValueError(f"the language is said twice ({' and '.join(used)}): keep one of them")
        return self

    def paths(self) -> list[Path]:
        """Return the files that are read, in the order of reading (none for ``hub``)."""
        if self.files is None:
            return []
        if isinstance(self.files, dict):
            return list(self.files.values())
        return self.files if isinstance(self.files, list) else [self.files]


class MixSpec(SpecModel):
    """A mixture of sources with exact counts by source and language."""

    sources: dict[str, SourceSpec] = Field(min_length=1)
    """The sources by name. All are read, and cleared of duplicates together, whatever their
    share: so mixtures of the same sources choose from the same rows."""
    shares: dict[str, Weight]
    """Weight of each source; a source left out has none. They need not sum to one."""
    languages: list[str] = Field(min_length=1)
    """Languages of the mixture; rows in other languages are left aside and counted."""
    language_shares: dict[str, Weight] | None = None
    """Weight of each language within every source; equal by default."""
    size: int = Field(ge=1)
    """How many rows, or how many tokens, the mixture has."""
    unit: Unit = "rows"
    """What `size` and the shares count. Answers differ in length between languages: equal shares
    of rows are not equal shares of tokens."""
    tokenizer: Path | None = None
    """Model or tokenizer folder that counts the tokens; required for ``unit: tokens``."""
    form: Form = "conversations"
    """Rows for supervised fine-tuning, or preference pairs for DPO."""
    when_short: Literal["error", "repeat"] = "error"
    """What to do when a source has too few rows in a language."""
    most_copies: int = Field(default=1, ge=1)
    """With ``when_short: repeat``: how often one row may occur."""
    seed: int = 0
    """Decides which rows are drawn and their order."""
    held_out: list[Path] = []
    """Prompt files of the evaluations, whose prompts must not be trained on."""
    overlap: Literal["refuse", "drop"] = "drop"
    """What to do with rows that overlap a held-out prompt: stop, or drop, count and list them."""
    overlap_words: int | None = Field(default=None, ge=5)
    """Also treat a row as overlapping when it shares a run of this many words with a held-out
    prompt (13 in Brown et al. 2020, arXiv:2005.14165). Off by default: questions made from one
    template share long runs without being the same question."""

    @model_validator(mode="after")
    def _shares_fit_the_sources(self) -> Self:
        for name in self.shares:
            if name not in self.sources:
                near = difflib.get_close_matches(name, self.sources, n=1)
                hint = f"; the nearest is `{near[0]}`" if near else ""
                raise ValueError(
                    f"`shares` names `{name}`, which is not a source "
                    f"(sources: {', '.join(self.sources)}){hint}"
                )
        if not sum(self.shares.values()) > 0:
            raise ValueError("`shares`: at least one source needs a share above zero")
        return self

    @model_validator(mode="after")
    def _language_shares_fit_the_languages(self) -> Self:
        if len(set(self.languages)) < len(self.languages):
            raise ValueError("`languages` names a language twice")
        if self.language_shares is None:
            return self
        if set(self.language_shares) != set(self.languages):
            raise ValueError(
                "`language_shares` must give a weight to each language "
                f"({', '.join(self.languages)}) and to no other "
                f"(seen: {', '.join(self.language_shares) or 'none'})"
            )
        if not sum(self.language_shares.values()) > 0:
            raise ValueError("`language_shares`: at least one language needs a share above zero")
        return self

    @model_validator(mode="after")
    def _settings_belong_together(self) -> Self:
        if self.unit == "tokens" and self.tokenizer is None:
            raise ValueError("`unit: tokens` needs `tokenizer`, the folder that counts them")
        if self.when_short == "repeat" and self.most_copies < 2:
            raise ValueError("`when_short: repeat` needs `most_copies` of 2 or more")
        if self.when_short == "error" and self.most_copies > 1:
            raise ValueError("`most_copies` above 1 needs `when_short: repeat`")
        return self

    def paths(self) -> list[Path]:
        """Return every local file and folder that this mixture reads, in a fixed order."""
        files = [path for source in self.sources.values() for path in source.paths()]
        return [*files, *self.held_out, *([self.tokenizer] if self.tokenizer else [])]
