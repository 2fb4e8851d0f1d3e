"""Rows with personal data in a fixed form: addresses of e-mail and machines, numbers with checks.

Patterns find forms, not people: `NOT_SEEN` says what is left. And they take some harmless text for
personal data: one in ten numbers of 16 digits passes the check of a card.
"""

import ipaddress
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, get_args

from pydantic import Field

from mixmerge.synthesis.filters.filter import FilterContext, FilterSpec, Part, texts
from mixmerge.synthesis.row import Row

NOT_SEEN = (
    "Personal data was searched by patterns, which do not see names, postal addresses, dates of "
    "birth, national identity numbers, user names, telephone numbers without a country or area "
    "code, or anything spelled out (name at host dot org)."
)

Form = Literal["email", "iban", "card", "phone", "ip"]

# Lengths are bounded, so that time is linear in the text. Letters of other scripts may stand right
# before a number: Chinese has no spaces.
_PATTERNS: dict[Form, re.Pattern[str]] = {
    "email": re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w@])"),
    "iban": re.compile(
        r"(?<![0-9A-Za-z])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![0-9A-Za-z])"
    ),
    "card": re.compile(
        r"(?<![0-9A-Za-z.,-])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?"
        r"|\d{4}([ -])\d{6}\2\d{5})(?![0-9A-Za-z-])"
    ),
    "phone": re.compile(
        r"(?<![0-9A-Za-z+])(?<!\d[ -])(?:\+|00)[1-9](?:[ ().-]{0,2}\d){7,14}(?!\d)"  # E.164
        r"|(?<![0-9A-Za-z(])\(\d{3}\) ?\d{3}[-. ]\d{4}(?!\d)"  # North America
        r"|(?<![0-9A-Za-z.-])\d{3}([-.])\d{3}\1\d{4}(?![0-9A-Za-z-])"
    ),
    "ip": re.compile(
        r"(?<![0-9A-Za-z.])\d{1,3}(?:\.\d{1,3}){3}(?![0-9A-Za-z.]*\d)"
        r"|(?<![0-9A-Za-z:])[0-9A-Fa-f:]{4,39}(?![0-9A-Za-z:])"
    ),
}
_NAMES: dict[Form, str] = {
    "email": "e-mail address",
    "iban": "IBAN",
    "card": "card number",
    "phone": "telephone number",
    "ip": "IP address",
}
_EXAMPLES = re.compile(r"(?:^|[.@])(?:example\.(?:com|net|org)|example|test|invalid|localhost)$")
"""Hosts that are reserved for examples (RFC 2606)."""


class PersonalDataSpec(FilterSpec):
    """No text of a row may have personal data in one of these forms."""

    key = "personal_data"

    personal_data: Part = "both"
    """The texts to search."""
    forms: tuple[Form, ...] = Field(get_args(Form), min_length=1)
    """Addresses of e-mail and of machines (``ip``, but for private ones), telephone numbers with a
    country or area code, and account (``iban``) and card numbers with right check digits."""

    def build(self, context: FilterContext) -> "PersonalData":  # noqa: ARG002
        """Return the filter."""
        return PersonalData(self)


class PersonalData:
    """Drops rows with personal data; see `RowFilter`."""

    def __init__(self, spec: PersonalDataSpec) -> None:
        """Set up the filter."""
        self._spec = spec
        self.unread: Counter[str] = Counter()

    def reasons(self, rows: Sequence[Row]) -> list[str | None]:
        """Return which form of personal data a row has, and in which text, or None."""
        return [self._reason(row) for row in rows]

    def _reason(self, row: Row) -> str | None:
        for name, text in texts(row, self._spec.personal_data):
            for form, _ in personal_data(text, self._spec.forms):
                return f"{_NAMES[form]}: in the {name}"
        return None


def personal_data(text: str, forms: Sequence[Form] = get_args(Form)) -> Iterator[tuple[Form, str]]:
    """Yield what looks like personal data in a text, by form.

    Digits of any script count, and invisible characters do not.

    Example:
        >>> list(personal_data("Write to jane@uni.edu, not to jane@example.com."))
        [('email', 'jane@uni.edu')]
    """
    plain = unicodedata.normalize("NFKC", text).translate(_PLAIN)
    for form in forms:
        for match in _PATTERNS[form].finditer(plain):
            if _CHECKS[form](match[0]):
                yield form, match[0]


class _Plain(dict[int, str | None]):
    """A table for `str.translate` of decimal digits to ASCII, which drops joiners and controls."""

    def __missing__(self, code: int) -> str | None:
        char = chr(code)
        digit = unicodedata.decimal(char, None)
        kept = char if digit is None else str(digit)
        self[code] = None if unicodedata.category(char) == "Cf" else kept
        return self[code]


_PLAIN = _Plain()


def _is_iban(text: str) -> bool:
    """Return whether a text, or its beginning, passes the check of ISO 13616 (mod 97 is 1).

    Words in capitals after the number look like more of it: groups are taken away from the end.
    """
    groups = text.split()
    while groups:
        number = "".join(groups)
        if len(number) < 15:
            return False
        turned = number[4:] + number[:4]
        if int("".join(str(int(char, 36)) for char in turned)) % 97 == 1:
            return True
        groups.pop()
    return False


def _is_card(text: str) -> bool:
    """Return whether the first digit is of a card network and the last is that of Luhn (1960)."""
    digits = [int(char) for char in text if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return digits[0] in range(2, 7) and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_public_ip(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


def _is_real_host(text: str) -> bool:
    return _EXAMPLES.search(text.rpartition("@")[2].lower()) is None


_CHECKS: dict[Form, Callable[[str], bool]] = {
    "email": _is_real_host,
    "phone": lambda _: True,
    "iban": _is_iban,
    "card": _is_card,
    "ip": _is_public_ip,
}

SPEC = PersonalDataSpec
