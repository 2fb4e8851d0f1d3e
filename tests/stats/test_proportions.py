"""Score intervals agree with scipy, with published examples, and with their definition."""

import math

import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, t

from mixmerge.errors import SampleError
from mixmerge.stats.proportions import clustered_tango, clustered_wilson, tango, wilson


@pytest.mark.parametrize(("events", "n"), [(0, 1), (0, 20), (3, 20), (20, 20), (180, 900)])
def test_wilson_is_scipys(events: int, n: int) -> None:
    """The interval is the one of scipy's binomtest, at the boundaries too."""
    expected = binomtest(events, n).proportion_ci(0.95, method="wilson")
    assert wilson(events / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nothing_is_refused() -> None:
    """No observations give no interval."""
    with pytest.raises(SampleError, match="at least 1 observation; 0 seen"):
        wilson(0.0, 0)


def test_clustered_wilson_of_many_independent_answers_is_wilson() -> None:
    """With the variance of independent answers and many of them, clustering changes nothing."""
    rate, n = 0.2, 1_000_000
    seen = clustered_wilson(rate, rate * (1 - rate) / n, clusters=n)
    assert seen == pytest.approx(wilson(rate, n), abs=1e-8)


def test_clustered_wilson_holds_what_its_test_does_not_reject() -> None:
    """At each end, the distance is t standard errors, the error scaled to that end's variance."""
    rate, variance, clusters = 0.1, 0.0008, 15
    quantile = t.ppf(0.975, clusters - 1)
    for end in clustered_wilson(rate, variance, clusters):
        error = math.sqrt(variance * end * (1 - end) / (rate * (1 - rate)))
        assert abs(end - rate) == pytest.approx(quantile * error)


def test_tango_of_no_difference_has_its_closed_form() -> None:
    """Without any discordant pair the ends are ± z² / (n + z²)."""
    square = 1.959964**2
    end = square / (10 + square)
    assert tango(0, 0, 10) == pytest.approx((-end, end), abs=1e-6)


@pytest.mark.parametrize(("gains", "losses", "n"), [(12, 2, 50), (7, 7, 40), (88, 3, 100)])
def test_tango_solves_its_equation(gains: int, losses: int, n: int) -> None:
    """Ends are those whose score statistic, with the constrained estimate, is 1.96."""
    for end, sign in zip(tango(gains / n, losses / n, n), (1, -1), strict=True):
        assert score(gains, losses, n, end) == pytest.approx(sign * 1.959964, abs=1e-4)


def score(gains: int, losses: int, n: int, difference: float) -> float:
    """Return Tango's statistic; the constrained estimate is searched, not solved for."""

    def unlikeliness(lost: float) -> float:
        shares = (lost + difference, lost, 1 - 2 * lost - difference)
        counts = (gains, losses, n - gains - losses)
        return -sum(count * math.log(share) for count, share in zip(counts, shares, strict=True))

    span = (max(0.0, -difference) + 1e-12, (1 - difference) / 2 - 1e-12)
    best = minimize_scalar(unlikeliness, bounds=span, method="bounded", options={"xatol": 1e-12}).x
    spread = math.sqrt(n * (2 * best + difference * (1 - difference)))
    return (gains - losses - n * difference) / spread


def test_tango_is_antisymmetric_and_stays_in_range() -> None:
    """Swapping the models mirrors the interval; certain differences end at one."""
    low, high = tango(0.3, 0.1, 60)
    assert tango(0.1, 0.3, 60) == pytest.approx((-high, -low))
    low, high = tango(1.0, 0.0, 40)
    assert high == pytest.approx(1)
    assert 0.8 < low < 0.9


def test_clustered_tango_widens_with_the_variance() -> None:
    """Four times the variance of independent pairs is a quarter of the pairs."""
    gain, loss, n = 0.2, 0.1, 400_000
    variance = (gain + loss - (gain - loss) ** 2) / n
    assert clustered_tango(gain, loss, 4 * variance, clusters=10**6) == pytest.approx(
        tango(gain, loss, n // 4), abs=1e-7
    )
