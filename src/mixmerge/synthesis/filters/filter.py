"""What all filters share: a specification that can be checked, and reasons for rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from mixmerge.records import Judge
from mixmerge.spec_model import SpecModel
from mixmerge.synthesis.row import Row

Part = Literal["prompt", "answer", "both"]
"""Which texts of a row a filter reads: all turns of the prompt, the answers, or both."""


@dataclass(frozen=True)
class FilterContext:
    """What a filter is built from besides its specification."""

    languages: Sequence[str]
    """The languages of the rows: evaluation sets are read in these."""
    rule_judges: Mapping[str, Judge] = field(default_factory=dict)
    """Judges by the name in ``{rules: NAME}``."""


class RowFilter(Protocol):
    """Says which rows to drop, and why."""

    def reasons(self, rows: Sequence[Row]) -> list[str | None]:
        """Return a reason to drop each row, or None to keep it.

        A reason is one of few short phrases, by which rows are counted; what was seen in this row
        may follow after a colon: ``wrong language: read fr 0.98, asked hi``.

        Raises:
            UserError: a row cannot be judged, e.g. in a language that is not known.
        """

    @property
    def unread(self) -> Counter[str]:
        """The rows that were kept without being judged, or with a part unread, by reason."""


class FilterSpec(SpecModel):
    """One kind of filter; `mixmerge.synthesis.filters` lists them."""

    key: ClassVar[str]
    """The key that only this kind has in a specification."""
    reads_seeds: ClassVar[bool] = False
    """Whether it is applied to the seeds, too, before anything is generated from them."""

    def paths(self) -> dict[str, Path]:
        """Return the files and folders whose content changes reasons, by role."""
        return {}

    def build(self, context: FilterContext) -> RowFilter:
        """Return the filter.

        Raises:
            UserError: a file, model or package is missing.
        """
        raise NotImplementedError


def texts(row: Row, part: Part) -> list[tuple[str, str]]:
    """Return the texts of a row that a filter reads, each with its name for messages."""
    named = [("prompt", row.prompt_text)] if part != "answer" else []
    if part != "prompt":
        pair = len(row.answers) == 2
        names = ("chosen answer", "rejected answer") if pair else ("answer",)
        named += zip(names, row.answers, strict=False)
    return named
