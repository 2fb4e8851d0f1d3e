"""The filters of generated rows, one file each. To add one, write its file and name it in `_FILES`.

A file defines ``SPEC``, a subclass of `FilterSpec`, and the `RowFilter` that it builds.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from mixmerge.spec_model import one_of
from mixmerge.synthesis.filters.filter import FilterContext, FilterSpec, RowFilter
from mixmerge.synthesis.row import DroppedRow, Row

__all__ = [
    "FILTERS",
    "AnyFilter",
    "FilterContext",
    "Filtered",
    "RowFilter",
    "apply_filters",
    "build_filters",
]

_FILES = (
    "language",
    "length",
    "duplicates",
    "overlap",
    "refusal",
    "personal_data",
    "toxicity",
)

FILTERS: dict[str, type[FilterSpec]] = {
    spec.key: spec for spec in (import_module(f"{__name__}.{file}").SPEC for file in _FILES)
}
"""The specification of every kind of filter, by its key."""

if TYPE_CHECKING:
    AnyFilter = FilterSpec
else:
    AnyFilter = one_of(FILTERS, "filter")
    """Any filter of a specification, e.g. ``{duplicates: near, threshold: 0.8}`` or ``language``.
    """


@dataclass
class Filtered:
    """The rows left by filters, those dropped, and what the filters could not judge."""

    rows: list[Row]
    dropped: list[DroppedRow] = field(default_factory=list)
    unread: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Rows kept although they, or a part of them, were not judged, by filter and reason."""

    @property
    def counts(self) -> Counter[tuple[str, str]]:
        """The rows dropped by filter and reason."""
        return Counter((each.step, each.reason) for each in self.dropped)


def build_filters(
    specs: Iterable[FilterSpec], context: FilterContext, *, seeds: bool = False
) -> list[tuple[str, RowFilter]]:
    """Return the filters by key, in order; with ``seeds`` only those that read seeds.

    Raises:
        UserError: a file, model or package is missing.
    """
    return [(each.key, each.build(context)) for each in specs if each.reads_seeds or not seeds]


def apply_filters(filters: Iterable[tuple[str, RowFilter]], rows: Sequence[Row]) -> Filtered:
    """Drop rows by each filter in turn, which sees what those before it left.

    Which rows are kept does not depend on their order, which stays as it is.

    Raises:
        UserError: a filter cannot judge a row.
    """
    result = Filtered(list(rows))
    for key, each in filters:
        reasons = each.reasons(result.rows)
        kept = []
        for row, reason in zip(result.rows, reasons, strict=True):
            if reason is None:
                kept.append(row)
            else:
                short, _, detail = reason.partition(": ")
                result.dropped.append(DroppedRow(step=key, reason=short, detail=detail, row=row))
        result.rows = kept
        result.unread.update({(key, why): count for why, count in each.unread.items()})
    return result
