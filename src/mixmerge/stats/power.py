"""What a sample can show before it is taken: the smallest difference that a test will find."""

import math
from statistics import NormalDist

POWER = 0.8
"""Share of studies that find a difference which is there."""
SIGNIFICANCE = 0.05

RATE = 0.5
CORRELATION = 0.5
WITHIN = 0.3
"""Assumptions where nothing is known, as in `discordant` and `effective_size`. Scores vary most at
a rate of one half, and the rest is between what translated questions show."""


def discordant(rate: float = RATE, correlation: float = CORRELATION) -> float:
    """Return the share of prompts that only one of two models gets right.

    This is the variance of the difference of two yes-or-no answers.

    Args:
        rate: of both models, in (0, 1).
        correlation: of their answers to one prompt, below 1.

    Example:
        >>> discordant(0.5, 0.5)
        0.25
    """
    return 2 * rate * (1 - rate) * (1 - correlation)


def effective_size(prompts: int, clusters: int, within: float = WITHIN) -> float:
    """Return how many independent prompts tell as much as these in clusters of one size.

    Kish's (1965) design effect. ``within`` is the correlation of the difference of two models on
    one prompt with that on another of its cluster, in [0, 1].

    Example:
        >>> effective_size(1200, 200, 0.3)
        480.0
    """
    return prompts / (1 + (prompts / clusters - 1) * within)


def smallest_difference(
    clusters: float, discordant: float, comparisons: int = 1, power: float = POWER
) -> float:
    """Return the smallest difference of paired yes-or-no answers that a two-sided test will find.

    This is the sample size of McNemar's test (Connor 1987), solved for the difference: the share of
    prompts that only one of two models gets right, less the share that only the other does.

    Args:
        clusters: independent prompts, at least 1; a fraction where it is an `effective_size`.
        discordant: share of prompts on which the two models differ, in (0, 1]; a difference cannot
            be larger, and equals it where none that is smaller would be found.
        comparisons: of which this is one: the first of them must pass 0.05 divided by their number
            (Holm 1979).
        power: share of studies that find it, above 0.5.

    Example:
        Two models that answer 30 of 100 prompts differently:

        >>> round(smallest_difference(200, 0.3), 3)
        0.108
    """
    critical = NormalDist().inv_cdf(1 - SIGNIFICANCE / (2 * comparisons))
    wanted = NormalDist().inv_cdf(power)
    # The root of d √n = critical √discordant + wanted √(discordant - d²): the mean difference must
    # lie so many standard errors beyond what the test accepts.
    left = clusters - critical**2 + wanted**2
    if left <= 0:
        return discordant
    root = critical * math.sqrt(clusters) + wanted * math.sqrt(left)
    return min(discordant, math.sqrt(discordant) * root / (clusters + wanted**2))


def clusters_needed(difference: float, discordant: float, comparisons: int = 1) -> int:
    """Return how many clusters a test needs to find a difference with a power of `POWER`.

    This is the sample size of `smallest_difference`. ``discordant`` is the mean squared difference
    of a cluster, which for yes-or-no answers is the share of clusters on which the models differ;
    it is above the squared ``difference``, which is not 0.

    Example:
        >>> clusters_needed(0.108, 0.3)
        200
    """
    critical = NormalDist().inv_cdf(1 - SIGNIFICANCE / (2 * comparisons))
    wanted = NormalDist().inv_cdf(POWER)
    errors = critical * math.sqrt(discordant) + wanted * math.sqrt(discordant - difference**2)
    return math.ceil((errors / difference) ** 2)


def rounded_up(number: float) -> int:
    """Round up to two digits: no plan is more precise.

    Example:
        >>> rounded_up(1234)
        1300
    """
    step: int = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return math.ceil(number / step) * step
