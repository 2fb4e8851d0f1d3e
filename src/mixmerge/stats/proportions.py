"""Score intervals: Wilson's for a rate, Tango's for a paired difference, and both for clusters.

A score interval has every value that a test with the variance *under that value* would not reject.
It stays inside the range, is asymmetric near its ends, and is valid with few events, where estimate
± t standard errors is not. For clustered or graded values (ties, several languages) the number of
observations becomes the effective sample size: the number of independent yes-or-no answers with
the same variance.
"""

import math
from statistics import NormalDist

from scipy.special import stdtr, stdtrit

from mixmerge.errors import SampleError
from mixmerge.stats.estimate import LEVEL

_NORMAL = NormalDist().inv_cdf(0.5 + LEVEL / 2)


def wilson(rate: float, n: int) -> tuple[float, float]:
    """Return the Wilson score interval of a rate (Wilson 1927, without continuity correction).

    The rate is of ``n`` independent yes-or-no observations.

    Raises:
        SampleError: ``n`` is zero.

    Example:
        No event among 20 is no proof that there are none:

        >>> low, high = wilson(0.0, 20)
        >>> low, round(high, 3)
        (0.0, 0.161)
    """
    if n < 1:
        raise SampleError("A rate needs at least 1 observation; 0 seen.")
    return _score_interval(rate, n, _NORMAL)


def clustered_wilson(
    rate: float, variance: float, clusters: float, looks: int = 1
) -> tuple[float, float]:
    """Return Wilson's interval of a mean in [0, 1] whose variance was estimated from clusters.

    The effective sample size is ``rate (1 - rate) / variance``, and a t quantile allows for the
    variance being estimated (Dean and Pagano 2015; Franco, Little, Louis and Slud 2019). The rate
    is strictly between 0 and 1, the variance above zero and that of the mean. ``looks`` is as for
    `t_quantile`.
    """
    return _score_interval(rate, rate * (1 - rate) / variance, t_quantile(clusters, looks))


def tango(gain: float, loss: float, n: int) -> tuple[float, float]:
    """Return the score interval of a difference of paired yes-or-no answers (Tango 1998).

    ``gain`` is the share of the ``n`` independent pairs in which only the first is yes, ``loss``
    that in which only the second is; ``gain - loss`` is the difference.
    """
    return _paired_score_interval(gain, loss, n, _NORMAL)


def clustered_tango(
    gain: float, loss: float, variance: float, clusters: float
) -> tuple[float, float]:
    """Return Tango's interval of a mean difference whose variance was estimated from clusters.

    The effective sample size is ``(gain + loss - difference²) / variance``. ``gain`` and ``loss``
    are the means of the positive and negative parts of the differences, both as positive numbers;
    the variance is the mean difference's, and positive.
    """
    n = (gain + loss - (gain - loss) ** 2) / variance
    return _paired_score_interval(gain, loss, n, t_quantile(clusters))


def tango_p(
    gain: float, loss: float, n: float, most: float, clusters: float | None = None
) -> float:
    """Return the one-sided p-value of "the difference is at most `most`", by Tango's score test.

    It is below 0.025 if the lower end of the 95 % interval is above ``most``, in (-1, 1). The other
    arguments are those of `tango`, or, with the number of ``clusters``, the effective sample size
    and the gain and loss of `clustered_tango`; then t replaces the normal distribution.
    """
    score = math.sqrt(n) * (gain - loss - most)
    # Zero if no pair could vary; then any other difference is impossible.
    deviation = _deviation_if(most, gain, loss) or 1e-12
    if clusters is None:
        return NormalDist().cdf(-score / deviation)
    return float(stdtr(clusters - 1, -score / deviation))


def t_quantile(clusters: float, looks: int = 1) -> float:
    """Return the half-width, in standard errors, of an interval of a clustered mean.

    With several ``looks``, any of which could be the one shown, the half-width of intervals that
    cover all together (Bonferroni).
    """
    return float(stdtrit(clusters - 1, 1 - (1 - LEVEL) / 2 / looks))


def widening(clusters: float, looks: int) -> float:
    """Return how many times as wide intervals are that cover all of several looks together."""
    return t_quantile(clusters, looks) / t_quantile(clusters)


def _score_interval(rate: float, n: float, quantile: float) -> tuple[float, float]:
    square = quantile * quantile / n
    centre = (rate + square / 2) / (1 + square)
    half = math.sqrt(square) / (1 + square) * math.sqrt(rate * (1 - rate) + square / 4)
    # Exact at the boundaries, where rounding would miss 0 and 1.
    low = 0.0 if rate == 0 else max(0.0, centre - half)
    high = 1.0 if rate == 1 else min(1.0, centre + half)
    return low, high


def _paired_score_interval(
    gain: float, loss: float, n: float, quantile: float
) -> tuple[float, float]:
    width = quantile / math.sqrt(n)
    # The upper end is the lower end of the opposite difference.
    return _lowest_difference(gain, loss, width), -_lowest_difference(loss, gain, width)


def _deviation_if(d: float, gain: float, loss: float) -> float:
    """Return the standard deviation of one pair's difference if the mean difference were d."""
    # Maximum likelihood estimate of the share of losses given d: Tango's equation (5).
    linear = (2 - gain + loss) * d - gain - loss
    root = math.sqrt(max(0.0, linear * linear + 8 * loss * d * (1 - d)))
    return math.sqrt(max(0.0, (root - linear) / 2 + d * (1 - d)))


def _lowest_difference(gain: float, loss: float, width: float) -> float:
    """Solve (difference - d) = width * (standard deviation if d were true) for d below it."""
    from scipy.optimize import brentq

    difference = gain - loss

    def excess(d: float) -> float:
        return difference - d - width * _deviation_if(d, gain, loss)

    if difference <= -1:
        return -1.0
    # Search below the difference itself, which is a trivial root if ``loss`` is zero.
    return float(brentq(excess, -1.0, difference - 1e-9, xtol=1e-12))
