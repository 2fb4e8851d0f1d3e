"""Means of clustered values, their covariances, and intervals in closed form.

A pooled mean is a ratio of sums over clusters. Linearised, its error is a sum of one independent
term per cluster, from which variances and covariances follow (Taylor linearisation, the
"cluster-robust" variance; Cameron and Miller 2015). Terms of several means can be added, so that
averages of means, differences and ratios need no other theory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtr

from mixmerge.stats.bootstrap import Floats

if TYPE_CHECKING:
    from jaxtyping import Float64

Interval = tuple[float, float]


@dataclass(frozen=True)
class ClusterMean:
    """A mean and what each cluster contributes to its error."""

    value: float
    terms: Float64[Floats, "clusters"]
    """Sums of them are errors under resampling; each is divided by the square root of one less its
    cluster's share of the values, since a large cluster pulls the mean towards itself (the CR2
    correction of Bell and McCaffrey 2002; for clusters of one size it is C / (C - 1))."""
    clusters: int
    """Clusters with a value."""
    n: int
    """Values."""
    effective: float
    """How many clusters of one size say as much about the variance: the square of the number of
    values over the sum of the squared sizes. Degrees of freedom are one less."""

    @classmethod
    def of(
        cls, totals: Float64[Floats, "clusters"], sizes: Float64[Floats, "clusters"]
    ) -> ClusterMean:
        """Return the pooled mean of a column.

        Args:
            totals: sums by cluster.
            sizes: numbers of values by cluster; at least one is above zero.
        """
        n = sizes.sum()
        value = float(totals.sum() / n)
        # A cluster that holds everything has no other to vary against, and no error either.
        rest = np.maximum(1 - sizes / n, 1e-12)
        terms = (totals - value * sizes) / n / np.sqrt(rest)
        return cls(value, terms, int(np.sum(sizes > 0)), int(n), float(n * n / (sizes @ sizes)))

    @property
    def variance(self) -> float:
        """The variance of the mean."""
        return covariance(self, self)


def covariance(a: ClusterMean, b: ClusterMean) -> float:
    """Return the covariance of two means over the same clusters."""
    return float(a.terms @ b.terms)


def skewed_t_p(mean: ClusterMean, most: float) -> float:
    """Return the one-sided p-value of "the mean is at most `most`", allowing for skew.

    Hall's (1992) transformation removes the effect of skewness from the t statistic of the mean,
    which otherwise rejects too often on one side: where few clusters carry large differences.

    Args:
        mean: of at least two clusters.
        most: the largest mean of the hypothesis.
    """
    error = math.sqrt(mean.variance)
    if error <= 1e-12:
        return 0.0 if mean.value > most else 1.0
    n, moments = mean.effective, [float((mean.terms**power).sum()) for power in (2, 3)]
    skewness = moments[1] / moments[0] ** 1.5 * math.sqrt(n)
    u = (mean.value - most) / error / math.sqrt(n)
    moved = u + skewness * u**2 / 3 + skewness**2 * u**3 / 27 + skewness / (6 * n)
    return float(stdtr(max(n - 1, 1.0), -moved * math.sqrt(n)))


def average(means: list[ClusterMean]) -> ClusterMean:
    """Return the unweighted average of several means over the same clusters."""
    return ClusterMean(
        value=float(np.mean([mean.value for mean in means])),
        terms=np.mean([mean.terms for mean in means], axis=0),
        clusters=max(mean.clusters for mean in means),
        n=sum(mean.n for mean in means),
        effective=max(mean.effective for mean in means),
    )


def ratio_interval(
    a: ClusterMean, b: ClusterMean, interval_a: Interval, interval_b: Interval
) -> Interval:
    """Return an interval of the ratio a / b of two rates from the intervals of both.

    The logarithms are subtracted by the method of variance estimates recovery (Zou and Donner
    2008): each rate's distance to its own end stands for its error, so that the result is as
    skewed as they are, and what both rates share cancels through their correlation.
    """
    shared = covariance(a, b) / math.sqrt(a.variance * b.variance)
    down_a, up_a = (abs(math.log(end / a.value)) for end in interval_a)
    down_b, up_b = (abs(math.log(end / b.value)) for end in interval_b)
    ratio = a.value / b.value
    low = ratio * math.exp(-_joint(down_a, up_b, shared))
    return low, ratio * math.exp(_joint(up_a, down_b, shared))


def _joint(x: float, y: float, correlation: float) -> float:
    return math.sqrt(max(0.0, x * x + y * y - 2 * correlation * x * y))
