"""Closed-form intervals agree with scipy and with published examples."""

import math

import pytest
from scipy.stats import binomtest

from mixmerge.errors import SampleError
from mixmerge.stats.estimate import Estimate
from mixmerge.stats.proportions import mover_difference, mover_ratio, wilson


def rate(events: int, n: int) -> Estimate:
    return Estimate(events / n, *wilson(events / n, n), n, n, "wilson")


@pytest.mark.parametrize(("events", "n"), [(0, 1), (0, 20), (3, 20), (20, 20), (180, 900)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilson_is_scipys(events: int, n: int, level: float) -> None:
    """The interval is the one of scipy's binomtest, at the boundaries too."""
    expected = binomtest(events, n).proportion_ci(level, method="wilson")
    assert wilson(events / n, n, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nothing_is_refused() -> None:
    """No observations give no interval."""
    with pytest.raises(SampleError, match="at least 1 observation; 0 seen"):
        wilson(0.0, 0)


def test_difference_is_newcombes_method_10() -> None:
    """56/70 against 48/80 gives Newcombe's published interval, 0.0524 to 0.3339."""
    low, high = mover_difference(rate(56, 70), rate(48, 80))
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_ratio_solves_its_defining_equation() -> None:
    """An end r of the ratio is where MOVER's interval of a - r b has an end at zero."""
    a, b = rate(30, 100), rate(60, 120)
    low, high = mover_ratio(a, b)
    assert low < a.value / b.value < high
    at_low = a.value - low * b.value - math.hypot(a.value - a.low, low * (b.high - b.value))
    at_high = a.value - high * b.value + math.hypot(a.high - a.value, high * (b.value - b.low))
    assert (at_low, at_high) == pytest.approx((0, 0), abs=1e-12)


def test_ratio_over_a_rate_that_may_be_zero_has_no_upper_end() -> None:
    """A denominator whose interval reaches zero leaves the ratio without limit."""
    assert mover_ratio(rate(5, 20), rate(0, 20))[1] == math.inf


def test_ratio_of_nothing_harmful_is_not_certain() -> None:
    """0 of 80 against 70 of 80 is 'at most a small share', not exactly zero."""
    low, high = mover_ratio(rate(0, 80), rate(70, 80))
    assert low == 0
    assert 0.04 < high < 0.07
