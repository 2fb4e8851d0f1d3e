"""Duplicate prompts, removed across all sources before anything is counted."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby

from mixmerge.mixing.apportion import Cell
from mixmerge.mixing.spec import TrainingRow

_MEANT = ("<super>", "<sub>", "<fraction>", "<circle>")
"""Forms of digits and letters that say something: 2⁵ is not 25."""
_ALIKE = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "‐": "-", "‑": "-", "−": "-"})
_SENTENCE = re.compile(
    r"""
    [?¿؟;¡।॥。、・۔“”„«»‹›「」『』] | (?<!\d)"   # ends, questions and quotations
    | (?<=\S)[.,:]+(?!\S)                 # at the end of a word: 3.14 and .NET keep theirs
    | (?<![\d)])(?<!\b\w)!+(?!\S)         # 5! and n! are factorials
    | (?<!\S)(?<!\)\ )[.,:!]+(?!\S)       # and any of these alone
    | (?<!\w)' | (?<!\b\w)(?<![\d)])'(?!\w) # single quotation marks, not f'
    | (?<!\S)[–—]+(?!\S)                  # dashes between words
    """,
    re.VERBOSE,
)
_BRACKET = re.compile(r"([()\[\]{}])")


def normalise(text: str) -> str:
    """Return text as it is compared: NFKC, case folded, without sentence punctuation and spaces.

    Only what sentences need goes: marks within and before words (``C#``, ``-5``, ``2*3``), and
    characters whose form means something (``2⁵``), tell texts apart. Words, brackets among them,
    are parted by one space; invisible characters such as joiners vanish. Text that is nothing but
    punctuation is returned as it is, so that it equals only itself.
    """
    folded = _folded(_folded(text).casefold()).translate(_ALIKE).translate(_VISIBLE)
    parted = _BRACKET.sub(r" \1 ", folded)
    # What goes may leave a mark alone that stood beside it.
    while (bare := " ".join(_SENTENCE.sub(" ", parted).split())) != parted:
        parted = bare
    return parted or text


def _folded(text: str) -> str:
    """Return text in NFKC, but for forms that mean something."""
    if text.isascii():
        return text
    return "".join(
        "".join(part) if meant else unicodedata.normalize("NFKC", "".join(part))
        for meant, part in groupby(text, _is_meant)
    )


@cache
def _is_meant(char: str) -> bool:
    return unicodedata.decomposition(char).startswith(_MEANT)


class _Visible(dict[int, str | None]):
    """A table for `str.translate`, filled as characters are met: no controls, no joiners."""

    def __missing__(self, code: int) -> str | None:
        category = unicodedata.category(chr(code))
        self[code] = None if category == "Cf" else " " if category[0] in "ZC" else chr(code)
        return self[code]


_VISIBLE = _Visible()


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
