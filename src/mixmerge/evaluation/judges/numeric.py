"""Whether a number in an answer is the right one, in any notation.

Digits of any script are read (٣, ३, 3), and so are signs, exponents, fractions and percentages. In
``1,234.5`` and ``1.234,5`` the last separator is the decimal one. A single separator before three
digits is a thousands separator if it is a comma (``1,234``) and decimal if it is a point
(``1.234``).
"""

import re
import unicodedata
from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, NamedTuple

from pydantic import Field

from mixmerge.errors import DataError
from mixmerge.evaluation.judges.judge import Decision, ProgramJudgeSpec, accepted, said
from mixmerge.records import Item, Question

_SIGNS = str.maketrans("−‒–٫٬’'\u00a0\u202f\u2009٪⁄", "---.______%/")
"""Signs and separators of other scripts; ``_`` stands for any thousands separator."""
_DIGITS = r"[0-9]+(?:[.,][0-9]+|_[0-9]{3}(?![0-9]))*"
_NUMBER = re.compile(
    rf"(?<![A-Za-z0-9.])(?P<sign>[-+]?)[$€£¥₹]?(?P<digits>{_DIGITS}|\.[0-9]+)"
    rf"(?P<power>[eE][-+]?[0-9]{{1,3}})?(?:/(?P<below>{_DIGITS}))?(?P<percent> ?%)?"
)
_GROUPED = re.compile(r"[1-9][0-9]{0,2}(?:(,[0-9]{2,3})*,[0-9]{3}|(\.[0-9]{3}){2,})")
"""Commas may also precede two digits, as in 12,34,567; points only group if there are several."""


class Number(NamedTuple):
    """A number as it was written."""

    value: Fraction
    percent: bool


class NumericSpec(ProgramJudgeSpec):
    """An answer is right if its number equals an accepted one."""

    key = "numeric"
    outcomes = frozenset({"correct"})

    numeric: Literal["last", "first"] = "last"
    """Which number of the answer counts."""
    after: str | None = Field(None, min_length=1)
    """Read only what follows the last occurrence of this text, e.g. ``####``, if there is one."""
    absolute: float = Field(0.0, ge=0, allow_inf_nan=False)
    """The largest absolute error."""
    relative: float = Field(0.0, ge=0, allow_inf_nan=False)
    """The largest error as a share of the accepted number."""

    def _decide(self, item: Item, question: Question) -> Decision:
        del question
        right = [_only_number(item, text) for text in accepted(item.prompt, self.key)]
        text = item.answer.text
        if self.after is not None:
            text = text.rpartition(self.after)[2]
        found = list(numbers(text))
        if not found:
            return said(False, "no number")
        number = found[-1 if self.numeric == "last" else 0]
        reason = f"read: {float(number.value):g}{'%' if number.percent else ''}"
        return said(any(self._equal(number, other) for other in right), reason)

    def _equal(self, number: Number, right: Number) -> bool:
        if self._near(number.value, right.value):
            return True
        # 50% may stand for 50 or for 0.5, unless both are percentages.
        if number.percent == right.percent:
            return False
        if number.percent:
            return self._near(number.value / 100, right.value)
        return self._near(number.value, right.value / 100)

    def _near(self, value: Fraction, target: Fraction) -> bool:
        allowed = max(Fraction(self.absolute), Fraction(self.relative) * abs(target))
        return abs(value - target) <= allowed


def numbers(text: str) -> Iterator[Number]:
    """Yield the numbers of a text in order."""
    plain = "".join(
        str(unicodedata.decimal(c)) if unicodedata.category(c) == "Nd" else c for c in text
    )
    for match in _NUMBER.finditer(plain.translate(_SIGNS)):
        value = _value(match["digits"])
        if match["power"]:
            value *= Fraction(10) ** int(match["power"][1:])
        below = _value(match["below"]) if match["below"] else Fraction(1)
        if below == 0:
            continue
        yield Number((-value if match["sign"] == "-" else value) / below, bool(match["percent"]))


def _value(digits: str) -> Fraction:
    digits = digits.replace("_", "")
    point, comma = digits.rfind("."), digits.rfind(",")
    if point >= 0 and comma >= 0:  # the last separator is the decimal one
        grouping = "," if point > comma else "."
        digits = digits.replace(grouping, "")
    elif _GROUPED.fullmatch(digits):
        digits = digits.replace(".", "").replace(",", "")
    whole, _, part = digits.replace(",", ".").partition(".")
    return Fraction(int(whole + part.replace(".", "") or "0"), 10 ** len(part.replace(".", "")))


def _only_number(item: Item, text: str) -> Number:
    found = list(numbers(text))
    if len(found) != 1:
        raise DataError(
            f"prompt {item.prompt.id}: a numeric judge needs accepted answers of one number each "
            f"(seen: {text!r})."
        )
    return found[0]


SPEC = NumericSpec
