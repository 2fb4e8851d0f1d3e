"""Rows that say what another row of the same language says: exact and near duplicates.

Near duplicates are found by MinHash (Broder 1997) with the package ``datasketch`` and then compared
exactly, so that none is dropped wrongly; of pairs just above the threshold a few are not found.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from mixmerge.errors import ResourceError
from mixmerge.mixing.filters import normalise
from mixmerge.synthesis.filters.filter import FilterContext, Part, texts
from mixmerge.synthesis.filters.shingles import ShingledSpec, Shingles
from mixmerge.synthesis.row import Row

_HASHES = 256
_AT_ONCE = 10_000
"""Shingles per update: datasketch makes a matrix of them and all its hashes."""


class DuplicatesSpec(ShingledSpec):
    """Of rows that are duplicates, the one with the smallest id is kept."""

    key = "duplicates"

    duplicates: Literal["near", "exact"] = "near"
    """``exact``: equal texts, but for case, punctuation and spaces; ``near``: similar ones, too."""
    threshold: float = Field(0.7, gt=0, le=1)
    """With ``near``: the share of all shingles of two texts that are in both (Jaccard)."""
    of: Part = "prompt"
    """The texts that are compared; ``both`` keeps several answers to one prompt."""

    def requires(self) -> tuple[str, ...]:
        """Return the package that finds candidates for near duplicates."""
        return ("datasketch",) if self.duplicates == "near" else ()

    def build(self, context: FilterContext) -> "Duplicates":  # noqa: ARG002
        """Return the filter.

        Raises:
            ResourceError: the package ``datasketch`` is not installed.
        """
        return Duplicates(self)


class Duplicates:
    """Drops all but one row of those that are alike; see `RowFilter`."""

    def __init__(self, spec: DuplicatesSpec) -> None:
        """Set up the filter.

        Raises:
            ResourceError: the package ``datasketch`` is not installed.
        """
        self._spec = spec
        self.unread: Counter[str] = Counter()
        if spec.duplicates == "near":
            _datasketch()

    def reasons(self, rows: Sequence[Row]) -> list[str | None]:
        """Return ``exact duplicate`` or ``near duplicate`` with the id of the row that is kept."""
        found: list[str | None] = [None] * len(rows)
        indices: dict[str, _Index] = {}
        # In the order of ids, which are digests of content: the order of arrival is a matter of
        # chance, and every dropped row is a duplicate of one that is kept.
        for place in sorted(range(len(rows)), key=lambda place: rows[place].id):
            row = rows[place]
            index = indices.setdefault(row.language, _Index(self._spec))
            found[place] = index.duplicate_of(row)
        return found


class _Index:
    """The kept rows of one language."""

    def __init__(self, spec: DuplicatesSpec) -> None:
        self._spec = spec
        self._ids: dict[str, str] = {}
        self._shingles: dict[str, Shingles] = {}
        self._near = _lsh(spec.threshold) if spec.duplicates == "near" else None

    def duplicate_of(self, row: Row) -> str | None:
        """Return why a row is a duplicate, or None, and keep it."""
        text = "\n".join(text for _, text in texts(row, self._spec.of))
        form = normalise(text)
        if form in self._ids:
            return f"exact duplicate: of row {self._ids[form]}"
        reason = self._near_duplicate(row.id, text) if self._near is not None else None
        if reason is None:
            self._ids[form] = row.id
        return reason

    def _near_duplicate(self, name: str, text: str) -> str | None:
        own = self._spec.shingles(text)
        if not own:
            return None
        sketch = _sketch(own)
        candidates: list[str] = self._near.query(sketch) if self._near is not None else []
        alike = {other: _jaccard(own, self._shingles[other]) for other in candidates}
        best = min(alike, key=lambda other: (-alike[other], other), default=None)
        if best is not None and alike[best] >= self._spec.threshold:
            return f"near duplicate: {alike[best]:.2f} of the shingles shared with row {best}"
        self._shingles[name] = own
        self._near.insert(name, sketch)  # type: ignore[union-attr]
        return None


def _jaccard(one: Shingles, other: Shingles) -> float:
    return len(one & other) / len(one | other)


def _datasketch() -> Any:
    try:
        import datasketch
    except ImportError:
        raise ResourceError(
            "The filter `duplicates: near` needs the package datasketch: pip install "
            "'mixmerge[data]'; `duplicates: exact` does not."
        ) from None
    return datasketch


def _lsh(threshold: float) -> Any:
    return _datasketch().MinHashLSH(num_perm=_HASHES, params=bands(threshold))


def bands(threshold: float) -> tuple[int, int]:
    """Return how many bands of how many hashes find pairs at the threshold with 99 %.

    A pair of similarity s is found with probability ``1 - (1 - s**rows)**bands`` (Leskovec et al.,
    Mining of Massive Datasets, 3.4). The longest bands are the fastest: fewer wrong candidates.
    """
    found = (
        (_HASHES // rows, rows)
        for rows in range(_HASHES // 2, 0, -1)
        if 1 - (1 - threshold**rows) ** (_HASHES // rows) >= 0.99
    )
    return next(found, (_HASHES, 1))


def _sketch(shingles: Shingles) -> Any:
    sketch = _datasketch().MinHash(num_perm=_HASHES, hashfunc=lambda digest: digest & 0xFFFFFFFF)
    listed = [*shingles]
    for start in range(0, len(listed), _AT_ONCE):
        sketch.update_batch(listed[start : start + _AT_ONCE])
    return sketch


SPEC = DuplicatesSpec
