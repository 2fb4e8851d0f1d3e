"""Means of clustered values, their covariances, and intervals in closed form.

A pooled mean is a ratio of sums over clusters. Linearised, its error is a sum of one independent
term per cluster, from which variances and covariances follow (Taylor linearisation, the
"cluster-robust" variance; Cameron and Miller 2015). Terms of several means can be added, so that
averages of means, differences and ratios need no other theory.
"""

import math
from dataclasses import dataclass

import numpy as np

from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.estimate import LEVEL
from mixmerge.stats.proportions import t_quantile


@dataclass(frozen=True)
class ClusterMean:
    """A mean and what each cluster contributes to its error."""

    value: float
    terms: Floats
    """Shape (clusters,); they sum to zero, and to the error of the mean under resampling."""
    clusters: int
    """Clusters with a value."""
    n: int
    """Values."""

    @classmethod
    def of(cls, totals: Floats, sizes: Floats) -> "ClusterMean":
        """Return the pooled mean of a column.

        Args:
            totals: sums by cluster, shape (clusters,).
            sizes: numbers of values by cluster, same shape; at least one is above zero.
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


def t_interval(mean: ClusterMean, level: float = LEVEL) -> tuple[float, float]:
    """Return mean ± t times its standard error, t with one degree of freedom less than clusters."""
    half = t_quantile(mean.clusters, level) * math.sqrt(mean.variance)
    return mean.value - half, mean.value + half


def ratio_interval(a: ClusterMean, b: ClusterMean, level: float = LEVEL) -> tuple[float, float]:
    """Return an interval of the ratio a / b of two positive means over the same clusters.

    A t interval of the logarithm of the ratio (Katz et al. 1978), whose variance is
    Var(a)/a² + Var(b)/b² - 2 Cov(a, b)/(a b): what both means share cancels, and the uncertainty
    of the denominator is in it. Both variances are estimated, each with one degree of freedom less
    than clusters.
    """
    variance = (
        a.variance / a.value**2
        + b.variance / b.value**2
        - 2 * covariance(a, b) / (a.value * b.value)
    )
    quantile = t_quantile(a.clusters + b.clusters - 1, level)
    half = quantile * math.sqrt(max(0.0, variance))
    ratio = a.value / b.value
    return ratio * math.exp(-half), ratio * math.exp(half)
