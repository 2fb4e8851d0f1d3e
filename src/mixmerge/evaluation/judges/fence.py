"""The part of an answer that a program reads: a fenced block, or all of it."""

import re

_FENCE = re.compile(
    r"^ {0,3}(?P<marks>`{3,}|~{3,})[^\n`]*\n(?P<block>.*?)(?:^ {0,3}(?P=marks)[`~]*[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)


def fenced(text: str) -> str:
    """Return the first block between fences of Markdown; without one, the whole text."""
    match = _FENCE.search(text)
    return match["block"] if match else text
