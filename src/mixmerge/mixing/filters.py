"""Duplicate prompts, removed across all sources before anything is counted."""

import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mixmerge.mixing.apportion import Cell
from mixmerge.mixing.spec import TrainingRow


class _Kept(dict[int, str | None]):
    """A table for `str.translate`, filled as characters are met.

    Letters, digits, marks (which spell vowels in Hindi and other scripts) and symbols stay;
    punctuation and spaces become a space; invisible characters such as joiners vanish.
    """

    def __missing__(self, code: int) -> str | None:
        category = unicodedata.category(chr(code))
        kept = None if category == "Cf" else " " if category[0] in "PZC" else chr(code)
        self[code] = kept
        return kept


_KEPT = _Kept()


def normalise(text: str) -> str:
    """Return text as it is compared: NFKC, case folded, punctuation and spaces as one space.

    Text that is nothing but punctuation is returned as it is, so that it equals only itself.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.translate(_KEPT).split()) or text


@dataclass
class Deduplicated:
    """The rows left, and how many were removed by source and language."""

    rows: list[TrainingRow] = field(default_factory=list)
    exact: Counter[Cell] = field(default_factory=Counter)
    """Rows whose prompt is that of an earlier row, character by character."""
    normalised: Counter[Cell] = field(default_factory=Counter)
    """Rows whose prompt is that of an earlier row after `normalise`."""


def deduplicate(rows: Iterable[TrainingRow]) -> Deduplicated:
    """Keep the first row of every prompt in a language, whichever source it is from.

    Prompts are compared, not answers: two answers to one prompt would count as two examples of
    it, and a prompt with a harmless answer in one source and a refusal in another contradicts
    itself. The same characters in two languages (``2 + 2 = ?``) are two prompts.
    """
    result = Deduplicated()
    texts: set[tuple[str, str]] = set()
    forms: set[tuple[str, str]] = set()
    for row in rows:
        text = (row.language, row.prompt_text)
        form = (row.language, normalise(row.prompt_text))
        if text in texts:
            result.exact[row.source, row.language] += 1
        elif form in forms:
            result.normalised[row.source, row.language] += 1
        else:
            result.rows.append(row)
        texts.add(text)
        forms.add(form)
    return result
