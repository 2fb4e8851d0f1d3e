"""Parts of an answer: a block between fences, and what the patterns of a study file find."""

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
"""For one answer. What takes longer is a pattern that tries every way to split the text."""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> "Pattern[str]":
    """Return a compiled pattern.

    Raises:
        ValueError: it is none; the message says where.
    """
    import regex

    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"`{pattern}` is no regular expression: {error}") from None


def searched(search: Callable[..., T], *arguments: str) -> T:
    """Apply a method of a compiled pattern with a limit on time.

    Raises:
        SpecError: the pattern does not come to an end.
    """
    try:
        return search(*arguments, timeout=_SECONDS)
    except TimeoutError:
        pattern = getattr(search, "__self__", None)
        raise SpecError(
            f"The pattern `{getattr(pattern, 'pattern', pattern)}` had not finished after "
            f"{_SECONDS:g} seconds on an answer of {len(arguments[-1]):,} characters. Repetitions "
            "inside repetitions, such as `(a+)+`, do so: write the pattern without them."
        ) from None


def fenced(text: str) -> str:
    """Return the first block between fences of Markdown; without one, the whole text."""
    match = _FENCE.search(text)
    return match["block"] if match else text
