"""Rows with a text in another language than the row's, by the identifier of the judge `language`.

Among 140 languages and their varieties a short text is often taken for a close relative (English
for Nigerian Pidgin, Chinese for Wu). So a text counts as wrong only if the identifier is sure, and
texts that are too short are not judged and counted.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence

from pydantic import Field

from mixmerge.errors import DataError
from mixmerge.evaluation.judges.language import Identifier, identifier
from mixmerge.synthesis.filters.filter import FilterContext, FilterSpec, Part, texts
from mixmerge.synthesis.row import Row


class LanguageSpec(FilterSpec):
    """The texts of a row must be in its language."""

    key = "language"

    language: Part = "both"
    """The texts to identify."""
    sure: float = Field(0.8, ge=0, le=1)
    """The least probability of another language for which a row is dropped."""
    shortest: int = Field(30, ge=1)
    """Texts with fewer letters are kept without being judged. Counted in bytes of UTF-8, which the
    identifier reads: 30 Latin letters, 15 Cyrillic or Arabic ones, 10 Chinese ones."""
    among: tuple[str, ...] = ()
    """The languages to choose from; by default all that the identifier knows."""

    def requires(self) -> tuple[str, ...]:
        """Return the package that identifies languages."""
        return ("py3langid",)

    def build(self, context: FilterContext) -> "Language":  # noqa: ARG002
        """Load the identifier.

        Raises:
            ResourceError: the package ``py3langid`` is not installed.
            SpecError: it does not know a language of ``among``.
        """
        return Language(self, identifier(self.among))


class Language:
    """Drops rows in another language; see `RowFilter`."""

    def __init__(self, spec: LanguageSpec, identify: Identifier) -> None:
        """Set up the filter with a loaded identifier."""
        self._spec = spec
        self._identify = identify
        self.unread: Counter[str] = Counter()

    def reasons(self, rows: Sequence[Row]) -> list[str | None]:
        """Return ``wrong language`` with what was read, or None.

        Raises:
            DataError: the identifier does not know the language of a row.
        """
        self.unread.clear()
        return [self._reason(row) for row in rows]

    def _reason(self, row: Row) -> str | None:
        known = self._identify.languages
        if row.language not in known:
            raise DataError(
                f"row {row.id}: the language {row.language!r} cannot be identified here; those "
                f"that can are {', '.join(sorted(known))}. Remove the filter `language`, or give "
                "the row one of these codes (`language_names` of its source)."
            )
        read = texts(row, self._spec.language)
        short = [name for name, text in read if _is_short(text, self._spec.shortest)]
        for name, text in read:
            if name in short:
                continue
            seen, chance = self._identify(text)
            if seen != row.language and chance >= self._spec.sure:
                return f"wrong language: {name} read as {seen} {chance:.2f}, not {row.language}"
        if short:
            self.unread[f"{' and '.join(short)} too short to identify its language"] += 1
        return None


def _is_short(text: str, shortest: int) -> bool:
    letters = 0
    for char in text:
        if unicodedata.category(char)[0] in "LM":  # vowel signs are letters, too
            letters += len(char.encode())
        if letters >= shortest:
            return False
    return True


SPEC = LanguageSpec
