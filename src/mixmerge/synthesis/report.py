"""What a generation made, left out and cost: ``report.json``."""

from collections import Counter
from collections.abc import Iterable

from mixmerge.records import RowModel
from mixmerge.synthesis.asking import Usage
from mixmerge.synthesis.row import DroppedRow, Row

REPORT = "report.json"


class SeedReport(RowModel):
    """The rows of one source."""

    rows: int
    """Usable rows, before the filters."""
    licence: str
    read_as: str
    """Its format, in one line."""
    filtered: dict[str, int]
    """Rows left out, by filter and reason."""
    notes: list[str]


class StepReport(RowModel):
    """One step."""

    name: str
    recipe: str
    took: int
    """Rows that it was given."""
    made: int
    """Rows that it made, before its filters."""
    dropped: dict[str, int]
    """Rows that could not be made, by reason."""
    filtered: dict[str, int]
    """Rows left out of those made, by filter and reason."""
    measured: dict[str, float]
    notes: list[str]
    models: dict[str, Usage]
    """What its models or its judge did, by name."""


class GenerationReport(RowModel):
    """``report.json``."""

    planned: bool
    """Whether nothing was asked: counts are then of calls that are not made yet, as if all replies
    could be used, were as long as allowed, and no filter left anything out."""
    seeds: dict[str, SeedReport]
    steps: list[StepReport]
    filtered: dict[str, int]
    """Rows left out of the result, by filter and reason."""
    outside_quotas: int
    """Rows left out because their quota was full, or there was none."""
    short: list[str]
    """The quotas that could not be filled, a sentence each."""
    rows: int
    """Of the result."""
    languages: dict[str, int]
    """Rows of the result by language."""
    categories: dict[str, int]
    """Rows of the result by category, of those that have one."""
    dropped: int
    """Lines of ``dropped.jsonl``."""
    calls: int
    """Different calls of all steps; with `planned`, those still to make."""
    dollars: float | None
    """What all calls in this folder have cost, failed attempts included; with `planned`, the most
    that those still to make may cost. None if no endpoint has a price."""
    notes: list[str]


def counted(dropped: Iterable[DroppedRow], *, by_filter: bool = False) -> dict[str, int]:
    """Return the number of rows for each reason, the most frequent first."""
    reasons = (f"{each.step}: {each.reason}" if by_filter else each.reason for each in dropped)
    return dict(Counter(reasons).most_common())


def by_language(rows: Iterable[Row]) -> dict[str, int]:
    """Return the number of rows of each language."""
    return dict(sorted(Counter(row.language for row in rows).items()))


def by_category(rows: Iterable[Row]) -> dict[str, int]:
    """Return the number of rows of each category."""
    return dict(sorted(Counter(row.category for row in rows if row.category).items()))
