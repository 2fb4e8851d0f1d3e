"""Remove rows before counting: duplicates, and rows that overlap held-out prompts.

Overlap is compared in words of normalised text (`normalise`). A row overlaps a held-out prompt in
one of three ways:

- ``equal``: its prompt, or one turn of it, is the held-out prompt;
- ``contains``: its prompt contains the held-out prompt word for word, if that has `CONTAINED_WORDS`
  words or more (shorter ones occur in unrelated text by chance);
- ``run``: both share a run of N words, if N is set (Brown et al. 2020, arXiv:2005.14165, appendix
  C, use 13).

System messages of held-out prompts are ignored: they say how to answer and are not the question.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from typing import Literal

from mixmerge.mixing.apportion import Cell
from mixmerge.mixing.spec import TrainingRow
from mixmerge.records import Conversation, LabelledCompletion, Prompt, RowModel

CONTAINED_WORDS = 5

Way = Literal["equal", "contains", "run"]

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
    """Return text for comparison: NFKC, case folded, without sentence punctuation.

    Marks within and before words (``C#``, ``-5``, ``2*3``), and characters whose form has a meaning
    (``2⁵``), stay, since they distinguish texts. Words and brackets are separated by one space;
    invisible characters such as joiners are removed. Text of punctuation alone is returned
    unchanged, so that it equals only itself.
    """
    folded = _folded(_folded(text).casefold()).translate(_ALIKE).translate(_VISIBLE)
    parted = _BRACKET.sub(r" \1 ", folded)
    # Removing a mark may leave the one beside it alone, so repeat.
    while (bare := " ".join(_SENTENCE.sub(" ", parted).split())) != parted:
        parted = bare
    return parted or text


def _folded(text: str) -> str:
    """Return text in NFKC, except characters whose form has a meaning."""
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
    """A table for `str.translate`, filled on demand, that drops controls and joiners."""

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
    """Rows whose prompt equals an earlier row's, character by character."""
    normalised: Counter[Cell] = field(default_factory=Counter)
    """Rows whose prompt equals an earlier row's only after `normalise`."""


def deduplicate(rows: Iterable[TrainingRow]) -> Deduplicated:
    """Keep the first row of every prompt in a language, from any source.

    Only prompts are compared, because two answers to one prompt would count it twice, and a
    compliant answer in one source would contradict a refusal in another. The same characters in two
    languages (``2 + 2 = ?``) are two prompts. Labelled answers are there to be contrasted, so two
    of them are duplicates only if the answers are equal, too, whatever their labels.
    """
    result = Deduplicated()
    texts: set[tuple[str, str, str]] = set()
    forms: set[tuple[str, str, str]] = set()
    for row in rows:
        answer = row.completion if isinstance(row, LabelledCompletion) else ""
        text = (row.language, row.prompt_text, answer)
        form = (row.language, normalise(row.prompt_text), answer)
        if text in texts:
            result.exact[row.source, row.language] += 1
        elif form in forms:
            result.normalised[row.source, row.language] += 1
        else:
            result.rows.append(row)
        texts.add(text)
        forms.add(form)
    return result


class Overlap(RowModel):
    """One training row and the held-out prompt that it overlaps."""

    source: str
    language: str
    id: str
    """The training row's id."""
    prompt: str
    """`Prompt.id` of the held-out prompt."""
    way: Way


class HeldOut:
    """An index of held-out prompts that finds overlaps in time linear in the row."""

    def __init__(self, prompts: Iterable[Prompt], run: int | None = None) -> None:
        """Index the prompts; ``run`` is the length in words of a shared run, None for no runs."""
        self._run = run
        self._ids: dict[str, str] = {}
        self._lengths: dict[tuple[str, ...], set[int]] = {}
        self._runs: dict[tuple[str, ...], str] = {}
        for prompt in prompts:
            turns = (message.content for message in prompt.messages if message.role != "system")
            self._add(normalise("\n".join(turns)), prompt.id)

    def _add(self, text: str, prompt_id: str) -> None:
        words = tuple(text.split())
        self._ids.setdefault(text, prompt_id)
        if len(words) >= CONTAINED_WORDS:
            self._lengths.setdefault(words[:CONTAINED_WORDS], set()).add(len(words))
        if self._run is not None:
            for run in _runs(words, self._run):
                self._runs.setdefault(run, prompt_id)

    def overlap(self, row: TrainingRow) -> Overlap | None:
        """Return a row's overlap with a held-out prompt, of the strictest kind, or None."""
        if not self._ids:
            return None
        found = self._equal(row)
        if found is None:
            words = tuple(normalise(row.prompt_text).split())
            found = self._contained(words) or self._shared_run(words)
        if found is None:
            return None
        way, prompt = found
        return Overlap(source=row.source, language=row.language, id=row.id, prompt=prompt, way=way)

    def _equal(self, row: TrainingRow) -> tuple[Way, str] | None:
        turns = row.messages[:-1] if isinstance(row, Conversation) else row.prompt
        for text in (row.prompt_text, *(turn.content for turn in turns)):
            prompt = self._ids.get(normalise(text))
            if prompt is not None:
                return "equal", prompt
        return None

    def _contained(self, words: tuple[str, ...]) -> tuple[Way, str] | None:
        for start, opening in enumerate(_runs(words, CONTAINED_WORDS)):
            for length in sorted(self._lengths.get(opening, ())):
                prompt = self._ids.get(" ".join(words[start : start + length]))
                if prompt is not None:
                    return "contains", prompt
        return None

    def _shared_run(self, words: tuple[str, ...]) -> tuple[Way, str] | None:
        if self._run is not None:
            for run in _runs(words, self._run):
                if run in self._runs:
                    return "run", self._runs[run]
        return None


def _runs(words: tuple[str, ...], length: int) -> list[tuple[str, ...]]:
    return [words[start : start + length] for start in range(len(words) - length + 1)]
