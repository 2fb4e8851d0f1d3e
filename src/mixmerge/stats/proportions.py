"""Intervals for rates that hold where the bootstrap sees no variation: Wilson, and MOVER."""

import math
from statistics import NormalDist

from mixmerge.errors import SampleError
from mixmerge.stats.estimate import LEVEL, Estimate


def wilson(rate: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Return the Wilson score interval of a rate (Wilson 1927, without continuity correction).

    For values anywhere in [0, 1] rather than 0 or 1 the interval is conservative: their variance
    is at most ``rate * (1 - rate)``.

    Args:
        rate: the observed mean, in [0, 1].
        n: independent observations.
        level: coverage.

    Raises:
        SampleError: ``n`` is zero.
    """
    if n < 1:
        raise SampleError("A rate needs at least 1 observation; 0 seen.")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # At the boundaries the formula gives 0 and 1 exactly, but rounding does not.
    low = 0.0 if rate == 0 else max(0.0, centre - half)
    high = 1.0 if rate == 1 else min(1.0, centre + half)
    return low, high


def mover_difference(a: Estimate, b: Estimate) -> tuple[float, float]:
    """Return an interval of ``a - b`` from the intervals of both (Newcombe 1998, method 10).

    The two count as independent; for estimates from the same prompts, which rise and fall
    together, the interval is therefore on the wide side.
    """
    difference = a.value - b.value
    low = difference - math.hypot(a.value - a.low, b.high - b.value)
    high = difference + math.hypot(a.high - a.value, b.value - b.low)
    return low, high


def mover_ratio(a: Estimate, b: Estimate) -> tuple[float, float]:
    """Return an interval of ``a / b``, both rates, from the intervals of both.

    Donner and Zou (2012), "Closed-form confidence intervals for functions of the normal mean and
    standard deviation". The upper end is ``inf`` where ``b`` may be zero.
    """
    product = a.value * b.value
    lower_b = b.low * (2 * b.value - b.low)
    upper_b = b.high * (2 * b.value - b.high)
    upper = math.inf
    if lower_b > 0:
        spread = product**2 - a.high * (2 * a.value - a.high) * lower_b
        upper = (product + math.sqrt(max(0.0, spread))) / lower_b
    spread = product**2 - a.low * (2 * a.value - a.low) * upper_b
    # (x - sqrt(x² - l u)) / u, written so that it also holds where u is zero or negative.
    denominator = product + math.sqrt(max(0.0, spread))
    lower = a.low * (2 * a.value - a.low) / denominator if denominator > 0 else 0.0
    return max(0.0, lower), upper
