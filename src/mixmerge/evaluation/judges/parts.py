"""Parts of an answer: its fenced block, and the matches of regular expressions."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from mixmerge.errors import SpecError

if TYPE_CHECKING:
    from regex import Pattern

T = TypeVar("T")
_FENCE = re.compile(
    r"^ {0,3}(?P<marks>`{3,}|~{3,})[^\n`]*\n(?P<block>.*?)(?:^ {0,3}(?P=marks)[`~]*[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_SECONDS = 5.0
"""The time limit for one answer; only catastrophic backtracking takes longer."""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> "Pattern[str]":
    """Return a compiled pattern.

    Raises:
        ValueError: it is invalid; the message gives the position.
    """
    import regex

    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"`{pattern}` is not a regular expression: {error}") from None


def searched(search: Callable[..., T], *arguments: str) -> T:
    """Call a method of a compiled pattern with a time limit.

    Raises:
        SpecError: the time limit was exceeded.
    """
    try:
        return search(*arguments, timeout=_SECONDS)
    except TimeoutError:
        pattern = getattr(search, "__self__", None)
        raise SpecError(
            f"The pattern `{getattr(pattern, 'pattern', pattern)}` had not finished after "
            f"{_SECONDS:g} seconds on an answer of {len(arguments[-1]):,} characters. Nested "
            "repetitions such as `(a+)+` can cause this: write the pattern without them."
        ) from None


def fenced(text: str) -> str:
    """Return the first fenced block of Markdown, or the whole text if there is none."""
    match = _FENCE.search(text)
    return match["block"] if match else text
