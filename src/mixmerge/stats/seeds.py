"""What several training seeds can show, where both seeds and prompts are a sample.

A study of one seed compares its checkpoints. A claim about how they were made needs several seeds:
the mean of their differences, with an error from the seeds and one from the prompts, whose degrees
of freedom are Satterthwaite's (1946). The variances are those of a crossed analysis of variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, nctdtr, stdtrit

from mixmerge.errors import SampleError
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.estimate import LEVEL
from mixmerge.stats.power import POWER, SIGNIFICANCE

if TYPE_CHECKING:
    from jaxtyping import Float64

MOST_SEEDS = 100
"""More seeds than these are not considered."""
MOST_CLUSTERS = 10_000_000
"""Nor are more clusters."""


@dataclass(frozen=True)
class SeedSpread:
    """How much a difference varies between training seeds."""

    sd: float
    """Standard deviation of the true difference; 0 where prompts alone explain what is seen."""
    ci: tuple[float, float]
    """Its 95 % interval, which is wide for few seeds."""
    seeds: int
    per_seed: float
    """Share of the variance between prompts that is not the same for another seed, and so averages
    out over seeds."""


def seed_spread(means: Float64[Floats, "seeds clusters"]) -> SeedSpread:
    """Estimate the spread over seeds from the difference on each cluster.

    Raises:
        SampleError: there is one seed, which shows nothing of it.
    """
    seeds, clusters = means.shape
    if seeds < 2:
        raise SampleError(
            "How much a difference varies between training seeds is seen only in two or more: "
            f"{seeds} given."
        )
    by_seed = means.mean(axis=1, keepdims=True)
    by_cluster = means.mean(axis=0, keepdims=True)
    of_seeds = clusters * float(by_seed.var(ddof=1))
    rest = means - by_seed - by_cluster + means.mean()
    of_both = float(np.sum(rest**2)) / ((seeds - 1) * (clusters - 1))
    of_clusters = seeds * float(by_cluster.var(ddof=1))
    freedom = seeds - 1
    tails = ((1 + LEVEL) / 2, (1 - LEVEL) / 2)
    # The quantile of an upper tail divides: the larger one gives the lower end.
    ends = (of_seeds * freedom / chdtri(freedom, 1 - tail) for tail in tails)
    low, high = (math.sqrt(max(0.0, end - of_both) / clusters) for end in ends)
    common = max(0.0, of_clusters - of_both) / seeds
    return SeedSpread(
        sd=math.sqrt(max(0.0, of_seeds - of_both) / clusters),
        ci=(low, high),
        seeds=seeds,
        per_seed=of_both / (of_both + common) if of_both > 0 else 0.0,
    )


def smallest_over_seeds(
    spread: SeedSpread, seeds: int, error: float, clusters: int, tests: int
) -> float:
    """Return the smallest mean difference over seeds that is found with a power of `POWER`.

    Args:
        spread: the variation between seeds.
        seeds: how many are trained, at least 2.
        error: the standard error of one seed's difference, from its prompts.
        clusters: independent prompts, at least 2.
        tests: of which this is one; it is tested at 0.05 divided by their number.
    """
    of_seeds = spread.sd**2 / seeds
    of_prompts = error**2 * (1 - spread.per_seed + spread.per_seed / seeds)
    total = of_seeds + of_prompts
    freedom = total**2 / (of_seeds**2 / (seeds - 1) + of_prompts**2 / (clusters - 1))
    critical = float(stdtrit(freedom, 1 - SIGNIFICANCE / (2 * tests)))

    def missed(distance: float) -> float:
        return float(nctdtr(freedom, distance, critical)) - (1 - POWER)

    return float(brentq(missed, 0.0, 2 * critical + 10)) * math.sqrt(total)


def seeds_needed(
    spread: SeedSpread, difference: float, error: float, clusters: int, tests: int
) -> int | None:
    """Return the fewest seeds that show a mean difference; None above `MOST_SEEDS`.

    The other arguments are those of `smallest_over_seeds`.
    """
    return next(
        (
            seeds
            for seeds in range(2, MOST_SEEDS + 1)
            if smallest_over_seeds(spread, seeds, error, clusters, tests) <= difference
        ),
        None,
    )


def clusters_over_seeds(
    spread: SeedSpread, seeds: int, error: float, clusters: int, tests: int, difference: float
) -> int | None:
    """Return the fewest clusters that show a mean difference over seeds; None if none are enough.

    The other arguments are those of `smallest_over_seeds`; ``error`` is that of ``clusters``.
    """

    def shows(count: int) -> bool:
        own = error * math.sqrt(clusters / count)
        return smallest_over_seeds(spread, seeds, own, count, tests) <= difference

    few, many = 1, 2
    while not shows(many):
        few, many = many, 2 * many
        if many > MOST_CLUSTERS:
            return None
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if shows(middle) else (middle, many)
    return many
