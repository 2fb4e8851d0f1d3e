"""Numbers as people read them."""

import pytest

from mixmerge.reporting import formats

NARROW = formats.NARROW_SPACE


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.07, "+7.0"), (-0.0314, "−3.1"), (0.0, "0.0"), (-0.0001, "0.0"), (0.00049, "0.0")],
)
def test_points_have_a_sign_unless_they_round_to_zero(value: float, text: str) -> None:
    """A difference that rounds to zero carries no sign."""
    assert formats.points(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.712, "71.2"), (1.0, "100.0"), (0.0, "0.0"), (-0.00001, "0.0"), (-0.5, "−50.0")],
)
def test_percent_of_a_fraction(value: float, text: str) -> None:
    """A fraction becomes percent with one decimal and a space that does not break."""
    assert formats.percent(value) == f"{text}{NARROW}%"


@pytest.mark.parametrize(
    ("value", "text"), [(0.123, "0.12"), (-0.06, "−0.06"), (-0.004, "0.00"), (-1.0, "−1.00")]
)
def test_two_decimals_with_a_true_minus(value: float, text: str) -> None:
    """A coefficient has two decimals, and no sign where it rounds to zero."""
    assert formats.decimal(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"),
        (185, "3 min 05 s"), (3599.7, "1 h 00 min"), (7800, "2 h 10 min"),
    ],
)  # fmt: skip
def test_durations_carry_over_at_their_limits(seconds: float, text: str) -> None:
    """59.6 seconds are one minute, never 60 seconds."""
    assert formats.duration(seconds).replace(NARROW, " ") == text


def test_p_values_are_never_zero() -> None:
    """A tiny p is shown as a bound."""
    assert formats.p_value(0.0).split() == ["p", "<", "0.001"]
    assert formats.p_value(0.0123).split() == ["p", "=", "0.012"]


def test_counts_and_shares() -> None:
    """Digits come in groups, shares without needless decimals."""
    assert formats.count(1_234_567) == f"1{NARROW}234{NARROW}567"
    assert formats.share(0.15) == f"15{NARROW}%"
    assert formats.share(0.125) == f"12.5{NARROW}%"


@pytest.mark.parametrize(
    ("number", "text"),
    [(5.13e9, "5.13 × 10⁹"), (123456, "1.23 × 10⁵"), (0, "0"), (9.999e22, "1.00 × 10²³")],
)
def test_large_numbers_in_powers_of_ten(number: float, text: str) -> None:
    """Three digits and the power of ten."""
    assert formats.scientific(number).replace(formats.SPACE, " ") == text
