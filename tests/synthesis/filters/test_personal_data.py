"""Personal data in fixed forms, and what only looks like it."""

import random

import pytest
from tests.synthesis.filters.rows import HOSTILE, reasons, row

from mixmerge.synthesis.filters.personal_data import Form, PersonalDataSpec, personal_data


@pytest.mark.parametrize(
    ("text", "form", "found"),
    [
        ("Write to Jane.Doe+x@mail.uni-x.ac.uk.", "email", "Jane.Doe+x@mail.uni-x.ac.uk"),
        ("max@müller.de", "email", "max@müller.de"),
        ("jane\u200b@uni.edu", "email", "jane@uni.edu"),
        ("联系zhang@qq.com。", "email", "联系zhang@qq.com"),
        ("call +44 20 7946 0958 now", "phone", "+44 20 7946 0958"),
        ("电话+86 138 0013 8000。", "phone", "+86 138 0013 8000"),
        ("+٤٤ ٢٠ ٧٩٤٦ ٠٩٥٨", "phone", "+44 20 7946 0958"),
        ("0049 (0)30-1234567", "phone", "0049 (0)30-1234567"),
        ("(212) 555-0100", "phone", "(212) 555-0100"),
        ("212-555-0100", "phone", "212-555-0100"),
        ("IBAN DE89 3704 0044 0532 0130 00 AND", "iban", "DE89 3704 0044 0532 0130 00"),
        ("IBAN BE68 5390 0754 7034 WITH CARE", "iban", "BE68 5390 0754 7034 WITH CARE"),
        ("GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
        ("4111 1111 1111 1111", "card", "4111 1111 1111 1111"),
        ("卡号5500-0000-0000-0004。", "card", "5500-0000-0000-0004"),
        ("3782 822463 10005", "card", "3782 822463 10005"),
        ("at 8.8.8.8:53", "ip", "8.8.8.8"),
        ("[2001:4860:4860::8888]", "ip", "2001:4860:4860::8888"),
    ],
)
def test_forms_are_found(text: str, form: Form, found: str) -> None:
    """Each form is found in running text, in digits of any script."""
    assert (form, found) in list(personal_data(text))


@pytest.mark.parametrize(
    "text",
    [
        "jane@example.com, user@host, @handle, x@y.z",
        "root@localhost and a@b.test",
        "DE89 3704 0044 0532 0130 01",
        "4111 1111 1111 1112",
        "1234567890123456",
        "192.168.0.1, 127.0.0.1, fe80::1, ::, 12:30:45",
        "version 1.2.3.4.5, 999.1.1.1",
        "ISBN 978-3-16-148410-0, 1998-2020, 3.141592653589793, 1,234,567,890,123",
        "tel. 555-0100 or ext. 1234",
        *HOSTILE[:8],
    ],
)
def test_what_only_looks_like_it_is_not(text: str) -> None:
    """Reserved hosts, private addresses, wrong check digits and other numbers are kept."""
    assert list(personal_data(text)) == []


def test_check_digits_reject_every_single_error() -> None:
    """ISO 13616 and Luhn both detect any one wrong digit."""
    rng = random.Random(0)
    for form, right in (("iban", "DE89370400440532013000"), ("card", "4111111111111111")):
        for place in range(4, len(right)):
            wrong = rng.choice([digit for digit in "0123456789" if digit != right[place]])
            text = right[:place] + wrong + right[place + 1 :]
            assert list(personal_data(text, (form,))) == [], text  # type: ignore[arg-type]


def test_rows_say_where_it_was() -> None:
    """The reason names the form and the text, and does not repeat the data."""
    rows = [row("Mail a@b.org"), row("Q", "fine", "+44 20 7946 0958"), row("Q", "fine")]
    assert reasons(PersonalDataSpec(), rows) == [
        "e-mail address: in the prompt",
        "telephone number: in the rejected answer",
        None,
    ]
    prompts = PersonalDataSpec(personal_data="prompt", forms=("phone",))
    assert reasons(prompts, rows) == [None, None, None]


@pytest.mark.parametrize(
    "part", ["a", "1", "1 ", "a.", "a@", "+1", "DE89 ", "1.1", ":a", "(", "@", "00", "-1"]
)
def test_long_texts_take_no_longer_than_they_are(part: str) -> None:
    """Half a megabyte that nearly matches has no personal data and ends (linear patterns)."""
    assert list(personal_data(part * (500_000 // len(part)), ("email", "card", "phone", "ip"))) in (
        [],
        [("phone", "00" + "0" * 14)],
    )
