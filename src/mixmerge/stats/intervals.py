"""The estimates of reports: rates, differences and relative changes of clustered values.

Intervals are score intervals with cluster-robust variances; ``benchmarks/coverage.py`` measures
their coverage and that of the bootstrap. If a sample is too small for an interval with the stated
coverage, the estimate has none and says why.

A pooled mean is a ratio of sums over clusters. Linearised, its error is a sum of one independent
term per cluster, which gives variances and covariances (Taylor linearisation, the "cluster-robust"
variance; Cameron and Miller 2015), also of averages, differences and ratios.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import bdtr, betaincinv, stdtr

from mixmerge.stats.bootstrap import Codes, Floats, cluster_totals
from mixmerge.stats.estimate import LEVEL, MIN_CLUSTERS, Estimate, too_small
from mixmerge.stats.paired import sign_flip_p
from mixmerge.stats.proportions import clustered_tango, clustered_wilson, tango, tango_p, wilson

if TYPE_CHECKING:
    from jaxtyping import Float64, Int

Interval = tuple[float, float]


@dataclass(frozen=True)
class ClusterMean:
    """A mean and each cluster's contribution to its error."""

    value: float
    terms: Float64[Floats, "clusters"]
    """Their sum is the error. Each is divided by the square root of one minus its cluster's share
    of the values, since a large cluster pulls the mean towards itself (the CR2 correction of Bell
    and McCaffrey 2002; for clusters of one size it is C / (C - 1))."""
    clusters: int
    """Clusters with a value."""
    n: int
    """Values."""
    effective: float
    """Number of equal clusters that would estimate the variance as well: the squared number of
    values over the sum of squared sizes. Degrees of freedom are one less."""

    @classmethod
    def of(
        cls, totals: Float64[Floats, "clusters"], sizes: Float64[Floats, "clusters"]
    ) -> ClusterMean:
        """Return the pooled mean, given sums and numbers of values by cluster (not all zero)."""
        n = sizes.sum()
        value = float(totals.sum() / n)
        # Avoids 0 / 0 for a cluster with all values, whose term is zero.
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
    """Return the one-sided p-value of "the mean is at most `most`", corrected for skew.

    Hall's (1992) transformation removes the effect of skewness on the t statistic of the mean,
    which otherwise rejects too often on one side if few clusters have large differences. ``mean``
    is of at least two clusters.
    """
    error = math.sqrt(mean.variance)
    if error <= 1e-12:
        return 0.0 if mean.value > most else 1.0
    n, squares = mean.effective, mean.terms * mean.terms
    skewness = float(squares @ mean.terms) / mean.variance**1.5 * math.sqrt(n)
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
    2008): each rate's distance to its own end stands for its error, so the result is as skewed as
    they are, and what both rates share cancels through their correlation.
    """
    shared = covariance(a, b) / math.sqrt(a.variance * b.variance)
    down_a, up_a = (abs(math.log(end / a.value)) for end in interval_a)
    down_b, up_b = (abs(math.log(end / b.value)) for end in interval_b)
    ratio = a.value / b.value
    low = ratio * math.exp(-_joint(down_a, up_b, shared))
    return low, ratio * math.exp(_joint(up_a, down_b, shared))


def _joint(x: float, y: float, correlation: float) -> float:
    return math.sqrt(max(0.0, x * x + y * y - 2 * correlation * x * y))


def least_varying(n: int) -> int:
    """Return how many clusters must differ from the most common value, for an interval.

    Fewer observations allow fewer results, each of which then matters more for the coverage.
    """
    return 3 if n >= 100 else 5


FEW_CLUSTERS = 30
VARYING_OF_FEW = 8
"""With fewer clusters than the first, a difference needs this many that vary: few clusters do not
show the variance of rare events."""


class ClusterSample:
    """Estimates from many columns of values on the same clustered prompts."""

    def __init__(
        self, values: Float64[Floats, "rows columns"], cluster: Int[Codes, "rows"]
    ) -> None:
        """Sum by cluster.

        Values are rates in [0, 1] or paired differences in [-1, 1]; NaN is missing.
        """
        self.n_clusters = int(cluster.max()) + 1
        self.totals, self.sizes = cluster_totals(values, cluster, self.n_clusters)
        """Sums and numbers of values, both of shape (clusters, columns)."""
        gains = np.nansum(np.clip(values, 0, None), axis=0)
        self._gains = gains / np.maximum(self.sizes.sum(axis=0), 1)

    def clusters(self, column: int) -> int:
        """Return the number of clusters with a value in the column."""
        return int(np.sum(self.sizes[:, column] > 0))

    def is_binary(self, column: int) -> bool:
        """Whether a column has one yes-or-no answer, or one difference of two, per cluster."""
        totals, sizes = self.totals[:, column], self.sizes[:, column]
        return bool((sizes <= 1).all() and np.isin(totals, (-1.0, 0.0, 1.0)).all())

    def rate(self, column: int, apart: float = 0.0) -> Estimate:
        """Estimate the mean of a column of values in [0, 1]: Wilson's interval, clustered.

        ``apart`` is how far from the median a cluster must be to count as varying; 0 for values
        with a usual most common one, such as yes-or-no answers.
        """
        mean = self._mean(column)
        varying = self._varying(column, apart)
        absent = too_small(
            mean.n, mean.clusters, mean.effective, varying, least_varying(mean.n), *_than(apart)
        )
        if absent:
            absent += "" if apart else _one_sided(mean, varying, self._common(column))
            return Estimate.without_interval(mean.value, mean.n, mean.clusters, absent)
        method = "wilson" if self.is_binary(column) else "clustered wilson"
        return _estimate(mean, self._rate_interval(column, mean), method)

    def average_rate(self, columns: Sequence[int]) -> Estimate:
        """Estimate the unweighted average of several rates, such as languages."""
        mean = average([self._mean(column) for column in columns])
        varying = max(self._varying(column) for column in columns)
        absent = too_small(mean.n, mean.clusters, mean.effective, varying, least_varying(mean.n))
        if mean.variance <= 0:
            absent = absent or "the languages vary, but their average does not"
        if absent:
            return Estimate.without_interval(mean.value, mean.n, mean.clusters, absent)
        interval = clustered_wilson(mean.value, mean.variance, mean.effective)
        return _estimate(mean, interval, "clustered wilson")

    def difference(self, column: int, apart: float = 0.0) -> Estimate:
        """Estimate the mean of a column of paired differences in [-1, 1]: Tango's interval.

        ``apart`` is as for `rate`.
        """
        mean = self._mean(column)
        if absent := self._no_difference(column, mean, apart):
            return Estimate.without_interval(mean.value, mean.n, mean.clusters, absent)
        gain = float(self._gains[column])
        loss = gain - mean.value
        if self.is_binary(column):
            return _estimate(mean, tango(gain, loss, mean.n), "tango")
        interval = clustered_tango(gain, loss, mean.variance, mean.effective)
        return _estimate(mean, interval, "clustered tango")

    def limits(self, column: int) -> tuple[float, float]:
        """Return what the mean paired difference cannot be beyond, however few clusters vary.

        No difference is beyond -1 or 1, so the mean is no further from 0 than the share of clusters
        on that side, whose limit is exact (Clopper and Pearson 1934): wide, and never wrong.
        """
        totals, clusters = self.totals[:, column], int(self._mean(column).effective)
        tail = (1 + LEVEL) / 2

        def most(on_one_side: int) -> float:
            if on_one_side >= clusters:
                return 1.0
            return float(betaincinv(on_one_side + 1, clusters - on_one_side, tail))

        return -most(int(np.sum(totals < 0))), most(int(np.sum(totals > 0)))

    def p_of_difference(self, column: int, rng: np.random.Generator, draws: int) -> float:
        """Return the two-sided p-value of "the mean paired difference is zero".

        The largest of three: flipping the signs of clusters, which is exact if both models are
        exchangeable on every cluster; a t test corrected for skew, which is valid if only their
        means are equal; and `_unseen`. ``rng`` and ``draws`` are for `sign_flip_p`.
        """
        return max(sign_flip_p(self.totals[:, column], rng, draws), self.p_of_equal_means(column))

    def p_of_equal_means(self, column: int) -> float:
        """Return the larger of the two p-values of `p_of_difference` that need no flipped signs."""
        sign = -1 if self.totals[:, column].sum() < 0 else 1
        mean, totals = self._signed(column, sign)
        return min(1.0, 2 * max(skewed_t_p(mean, 0.0), _unseen(mean, totals, 0.0)))

    def p_at_most(self, column: int, most: float, sign: int = 1, apart: float = 0.0) -> float:
        """Return the one-sided p-value of "the mean difference is at most `most`", in (-1, 0].

        The largest of Tango's score test, dual to the interval of `difference`, a t test corrected
        for skew, and `_unseen`. If too few clusters vary for an interval, an exact binomial test
        instead: since no difference is below -1, a mean of at most -m needs a share of at least m
        clusters below zero. A ``sign`` of -1 tests the differences with their signs changed;
        ``apart`` is as for `rate`.
        """
        mean, totals = self._signed(column, sign)
        if self._no_difference(column, mean, apart):
            return float(bdtr(int(np.sum(totals < 0)), int(mean.effective), -most))
        gain = float(self._gains[column]) + (0.0 if sign > 0 else mean.value)
        loss = gain - mean.value
        if self.is_binary(column):
            return max(tango_p(gain, loss, mean.n, most), _unseen(mean, totals, most))
        n = (gain + loss - mean.value**2) / mean.variance
        tests = tango_p(gain, loss, n, most, mean.effective), skewed_t_p(mean, most)
        return max(*tests, _unseen(mean, totals, most))

    def relative_change(self, column: int, base: int) -> Estimate | None:
        """Estimate (rate - base rate) / base rate, where the base rate is an estimate too.

        None if the base rate is zero.
        """
        rate, reference = self._mean(column), self._mean(base)
        if reference.value == 0:
            return None
        change = rate.value / reference.value - 1
        n, clusters = min(rate.n, reference.n), min(rate.clusters, reference.clusters)
        effective = min(rate.effective, reference.effective)
        varying = min(self._varying(column), self._varying(base))
        absent = too_small(n, clusters, effective, varying, least_varying(n))
        if absent:
            return Estimate.without_interval(change, n, clusters, absent)
        ends = (
            self._rate_interval(place, mean) for place, mean in ((column, rate), (base, reference))
        )
        low, high = ratio_interval(rate, reference, *ends)
        return Estimate(change, low - 1, high - 1, n, clusters, "mover")

    def _no_difference(self, column: int, mean: ClusterMean, apart: float) -> str:
        """Return why a column of differences allows no interval; "" if it does."""
        few = mean.effective < FEW_CLUSTERS - 0.5
        required = VARYING_OF_FEW if few else least_varying(mean.n)
        varying = self._varying(column, apart)
        return too_small(mean.n, mean.clusters, mean.effective, varying, required, *_than(apart))

    def _rate_interval(self, column: int, mean: ClusterMean) -> tuple[float, float]:
        if self.is_binary(column):
            return wilson(mean.value, mean.n)
        return clustered_wilson(mean.value, mean.variance, mean.effective)

    def _signed(self, column: int, sign: int) -> tuple[ClusterMean, Float64[Floats, "clusters"]]:
        """Return the mean of a column times ``sign``, and its sums by cluster."""
        totals = sign * self.totals[:, column]
        return ClusterMean.of(totals, self.sizes[:, column]), totals

    def _mean(self, column: int) -> ClusterMean:
        return ClusterMean.of(self.totals[:, column], self.sizes[:, column])

    def _varying(self, column: int, apart: float = 0.0) -> int:
        values, how_often = self._values(column)
        if not apart:
            return int(how_often.sum() - how_often.max(initial=0))
        far = np.abs(values - np.median(np.repeat(values, how_often))) >= apart - 1e-9
        return int(how_often[far].sum())

    def _common(self, column: int) -> float:
        values, how_often = self._values(column)
        return float(values[how_often.argmax()])

    def _values(self, column: int) -> tuple[Float64[Floats, "different"], Int[Codes, "different"]]:
        seen = self.sizes[:, column] > 0
        means = self.totals[seen, column] / self.sizes[seen, column]
        return np.unique(means.round(9), return_counts=True)


def _unseen(mean: ClusterMean, totals: Float64[Floats, "clusters"], most: float) -> float:
    """Return how likely no cluster is below zero although the true mean is at most `most`.

    The sample may lack a rare cluster far below zero. Since no difference is below -1, such
    clusters need a share of at least the distance to bring the mean down to ``most``.
    """
    if (totals < 0).any() or mean.value <= most:
        return 0.0
    return float((1 - min(1.0, mean.value - most)) ** mean.effective)


def _than(apart: float) -> tuple[str, ...]:
    return (f"by {apart:.0%} of the range from the median",) if apart else ()


def _one_sided(mean: ClusterMean, varying: int, common: float) -> str:
    """Return a bound on a rate near 0 or 1, in words, where there is no interval.

    The share of clusters that vary at all has an exact upper limit (Clopper and Pearson 1934); if
    all others are at that end, the rate is no further from it.
    """
    if mean.clusters < MIN_CLUSTERS or varying >= least_varying(mean.n):
        return ""
    limit = float(betaincinv(varying + 1, mean.clusters - varying, LEVEL))
    if common == 0 and mean.value <= varying / mean.clusters:
        return f"; at most {limit:.1%} with 95% confidence"
    if common == 1 and 1 - mean.value <= varying / mean.clusters:
        return f"; at least {1 - limit:.1%} with 95% confidence"
    return ""


def _estimate(mean: ClusterMean, interval: tuple[float, float], method: str) -> Estimate:
    return Estimate(mean.value, *interval, mean.n, mean.clusters, method)
