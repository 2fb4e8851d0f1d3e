"""Read what a model wrote: text between marks, or a JSON list of texts. Nothing is guessed."""

import re

from mixmerge import json_text
from mixmerge.evaluation.calls.reply import shown

_FENCED = re.compile(r"\s*```(?:json)?[^\S\n]*\n(.*)\n\s*```\s*", re.DOTALL)
_MARKED = re.compile(r"[^<]*<reply>(.*)</reply>.*", re.DOTALL)

TOO_LONG = "input too long"
"""The ``finish_reason`` of a text that a translation model cannot read; the reply says why."""


class UnusableError(Exception):
    """A reply or row that cannot be used: one of few reasons, and what was seen."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


def marked(text: str) -> list[str]:
    """Return what a reply has between ``<reply>`` and ``</reply>``.

    Raises:
        UnusableError: it has no such marks, as a refusal has none, or nothing between them.
    """
    found = _MARKED.fullmatch(text)
    if found is None:
        raise UnusableError("malformed reply", f"no <reply>…</reply>: {shown(text)}")
    if not (inside := found[1].strip()):
        raise UnusableError("empty reply", shown(text))
    return [inside]


def listed(text: str, key: str) -> list[str]:
    """Return the texts in a reply of JSON: ``{key: [...]}``, or the list alone.

    Raises:
        UnusableError: it is another JSON value, or text.
    """
    fenced = _FENCED.fullmatch(text)
    try:
        value = json_text.parse(fenced[1] if fenced else text)
    except ValueError as error:
        raise UnusableError("malformed reply", f"not JSON ({error}): {shown(text)}") from None
    if isinstance(value, dict) and [*value] == [key]:
        value = value[key]
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise UnusableError("malformed reply", f"no list of texts `{key}`: {shown(text)}")
    return [each.strip() for each in value]
