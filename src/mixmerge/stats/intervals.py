"""Which interval is reported: the paired cluster bootstrap, or a closed form where it is blind.

The bootstrap can only repeat what it has seen: with no harmful answer in 80 clusters it would say
"0 to 0 with certainty". Where fewer than `MIN_CLUSTERS` clusters differ from the most common
value, the interval comes from Wilson's formula with one observation per cluster, combined by
MOVER for differences and ratios. Both are on the wide side there, never falsely certain.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mixmerge.stats.bootstrap import (
    Floats,
    bootstrap_means,
    cluster_totals,
    expanded_level,
    percentile_interval,
)
from mixmerge.stats.estimate import LEVEL, MIN_CLUSTERS, Estimate
from mixmerge.stats.proportions import mover_difference, mover_ratio, wilson


class ClusterBootstrap:
    """Estimates for many columns of values, all from the same draws of clusters."""

    def __init__(
        self,
        values: Floats,
        cluster: NDArray[np.intp],
        *,
        draws: int,
        rng: np.random.Generator,
        level: float = LEVEL,
    ) -> None:
        """Resample once for all columns.

        Args:
            values: shape (rows, columns): rates in [0, 1] or paired differences in [-1, 1]; NaN
                where there is none.
            cluster: the cluster of each row, integers from 0, shape (rows,).
            draws: bootstrap samples.
            rng: where the draws come from.
            level: coverage of the intervals.
        """
        self._values = values
        self._cluster = cluster
        self._n_clusters = int(cluster.max()) + 1
        self._level = level
        self._totals, self._sizes = cluster_totals(values, cluster, self._n_clusters)
        self._draws = bootstrap_means(self._totals, self._sizes, draws, rng)

    def totals(self, column: int) -> Floats:
        """Return the sum of a column over each cluster, shape (clusters,)."""
        totals: Floats = self._totals[:, column]
        return totals

    def clusters(self, column: int) -> int:
        """Return the number of clusters with a value in the column."""
        return int(np.sum(self._sizes[:, column] > 0))

    def rate(self, column: int) -> Estimate:
        """Estimate the mean of a column of values in [0, 1]."""
        if self._varies(column):
            return self._bootstrapped(column)
        mean, clusters = self._mean(column), self.clusters(column)
        low, high = wilson(mean, clusters, self._level)
        return Estimate(mean, low, high, self._n(column), clusters, "wilson")

    def difference(self, column: int) -> Estimate:
        """Estimate the mean of a column of paired differences in [-1, 1]."""
        if self._varies(column):
            return self._bootstrapped(column)
        low, high = mover_difference(self._part(column, 1), self._part(column, -1))
        mean, clusters = self._mean(column), self.clusters(column)
        return Estimate(mean, max(-1.0, low), min(1.0, high), self._n(column), clusters, "mover")

    def relative_change(self, column: int, base: int) -> Estimate | None:
        """Estimate (rate - base rate) / base rate, the base rate being estimated too.

        Returns:
            None where the base rate is zero: the change has no value then. The upper end is
            ``inf`` where the data do not exclude a base rate of zero.
        """
        rate, reference = self.rate(column), self.rate(base)
        if reference.value == 0:
            return None
        change = (rate.value - reference.value) / reference.value
        clusters = min(rate.clusters, reference.clusters)
        if rate.method == reference.method == "percentile":
            over, under = self._draws[:, column], self._draws[:, base]
            ratio = np.full_like(over, math.inf)
            np.divide(over, under, out=ratio, where=under > 0)
            low, high = percentile_interval(ratio - 1, expanded_level(clusters, self._level))
            return Estimate(change, low, high, rate.n, clusters, "percentile")
        low, high = mover_ratio(rate, reference)
        return Estimate(change, low - 1, high - 1, rate.n, clusters, "mover")

    def _mean(self, column: int) -> float:
        return float(self._totals[:, column].sum() / self._sizes[:, column].sum())

    def _n(self, column: int) -> int:
        return int(self._sizes[:, column].sum())

    def _varies(self, column: int) -> bool:
        seen = self._sizes[:, column] > 0
        means = self._totals[seen, column] / self._sizes[seen, column]
        _, how_often = np.unique(means.round(9), return_counts=True)
        return int(how_often.sum() - how_often.max(initial=0)) >= MIN_CLUSTERS

    def _bootstrapped(self, column: int) -> Estimate:
        n, clusters = self._n(column), self.clusters(column)
        level = expanded_level(clusters, self._level)
        low, high = percentile_interval(self._draws[:, column], level)
        return Estimate(self._mean(column), low, high, n, clusters, "percentile")

    def _part(self, column: int, sign: int) -> Estimate:
        """Estimate how much of a difference column is gain (sign 1) or loss (sign -1)."""
        values = self._values[:, column]
        mean = float(np.clip(sign * values[~np.isnan(values)], 0, None).mean())
        clusters = self.clusters(column)
        low, high = wilson(mean, clusters, self._level)
        return Estimate(mean, low, high, self._n(column), clusters, "wilson")
