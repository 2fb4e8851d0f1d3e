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

from mixmerge.stats.bootstrap import Floats

if TYPE_CHECKING:
    from jaxtyping import Float64

Interval = tuple[float, float]


@dataclass(frozen=True)
class ClusterMean:
    """A mean and what each cluster contributes to its error."""

    value: float
    terms: Float64[Floats, "clusters"]
    """They sum to zero, and to the error of the mean under resampling."""
    clusters: int
    """Clusters with a value."""
    n: int
    """Values."""

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
        return cls(value, (totals - value * sizes) / n, int(np.sum(sizes > 0)), int(n))

    @property
    def variance(self) -> float:
        """The variance of the mean."""
        return covariance(self, self)


def covariance(a: ClusterMean, b: ClusterMean) -> float:
    """Return the covariance of two means over the same clusters."""
    clusters = max(a.clusters, b.clusters)
    return float(a.terms @ b.terms) * clusters / (clusters - 1)


def average(means: list[ClusterMean]) -> ClusterMean:
    """Return the unweighted average of several means over the same clusters."""
    return ClusterMean(
        value=float(np.mean([mean.value for mean in means])),
        terms=np.mean([mean.terms for mean in means], axis=0),
        clusters=max(mean.clusters for mean in means),
        n=sum(mean.n for mean in means),
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
