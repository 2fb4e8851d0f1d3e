"""Shingles: the runs of words, or of characters, that two texts are compared by.

Broder (1997), On the resemblance and containment of documents. Chinese, Japanese, Thai and other
scripts write no spaces between words, so each of their characters counts as a word, and texts
mostly in them have longer runs.
"""

import re
from hashlib import blake2b

from pydantic import Field

from mixmerge.mixing.filters import normalise
from mixmerge.synthesis.filters.filter import FilterSpec

UNSPACED = re.compile(
    "["
    "\u0e00-\u0fff"  # Thai, Lao, Tibetan
    "\u1000-\u109f\u1780-\u17ff"  # Myanmar, Khmer
    "\u3041-\u30ff\u31f0-\u31ff"  # Hiragana, Katakana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "]"
)
"""A character of a script that is written without spaces between words."""

Shingles = frozenset[int]
"""The runs of a text, each as a digest of 64 bits."""


class ShingledSpec(FilterSpec):
    """A filter that compares texts by shingles, and says how long these are."""

    words: int = Field(3, ge=1)
    """Words in a shingle."""
    characters: int = Field(4, ge=1)
    """Characters in a shingle of a text mostly in a script without spaces."""

    def shingles(self, text: str) -> Shingles:
        """Return the shingles of a text after `normalise`; a shorter text is one shingle."""
        units = words_of(normalise(text))
        written = sum(map(len, units))
        unspaced = len(UNSPACED.findall("".join(units)))
        length = self.characters if 2 * unspaced > written else self.words
        ends = range(min(length, len(units)), len(units) + 1) if units else ()
        runs = {" ".join(units[max(end - length, 0) : end]) for end in ends}
        return frozenset(map(_digest, runs))


def words_of(text: str) -> list[str]:
    """Return the words of a text, with each character of a script without spaces as one.

    Example:
        >>> words_of("I like 寿司 a lot")
        ['I', 'like', '寿', '司', 'a', 'lot']
    """
    return UNSPACED.sub(_apart, text).split()


def _apart(match: re.Match[str]) -> str:
    return f" {match[0]} "


def _digest(run: str) -> int:
    return int.from_bytes(blake2b(run.encode(), digest_size=8).digest(), "big")
