"""Cluster-robust variances agree with formulas for equal clusters, and with the bootstrap."""

import math

import numpy as np
import pytest
from scipy import stats

from mixmerge.stats.bootstrap import bootstrap_means
from mixmerge.stats.intervals import ClusterMean, average, covariance, ratio_interval


def unequal(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sums and sizes of 300 clusters for two related columns."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, size=(300, 2)).astype(float)
    shared = rng.random((300, 1))
    return sizes * np.clip(0.6 * shared + 0.4 * rng.random((300, 2)), 0, 1), sizes


def t_interval(mean: ClusterMean) -> tuple[float, float]:
    """Return mean ± t standard errors."""
    half = float(stats.t.ppf(0.975, mean.clusters - 1)) * math.sqrt(mean.variance)
    return mean.value - half, mean.value + half


def test_clusters_of_one_have_the_textbook_variance() -> None:
    """With one value per cluster, the standard error of the mean is the textbook's."""
    data = np.random.default_rng(0).normal(size=14)
    mean = ClusterMean.of(data, np.ones(14))
    assert math.sqrt(mean.variance) == pytest.approx(stats.sem(data))
    assert (mean.n, mean.clusters) == (14, 14)


def test_translations_do_not_count_as_observations() -> None:
    """Six equal answers per question have the variance of one answer per question."""
    data = np.random.default_rng(1).random(50)
    once, six = ClusterMean.of(data, np.ones(50)), ClusterMean.of(6 * data, np.full(50, 6.0))
    assert six.variance == pytest.approx(once.variance)


def test_variance_and_covariance_are_the_bootstraps() -> None:
    """Over clusters of unequal size, linearisation gives what resampling gives."""
    totals, sizes = unequal(2)
    first, second = (ClusterMean.of(totals[:, i], sizes[:, i]) for i in (0, 1))
    draws = bootstrap_means(totals, sizes, 20_000, np.random.default_rng(3))
    expected = np.cov(draws.T)
    assert first.variance == pytest.approx(expected[0, 0], rel=0.05)
    assert covariance(first, second) == pytest.approx(expected[0, 1], rel=0.05)
    both = average([first, second])
    assert both.value == pytest.approx(draws.mean(), abs=1e-3)
    assert both.variance == pytest.approx(draws.mean(axis=1).var(), rel=0.05)


def test_ratio_interval_is_that_of_the_bootstrapped_ratio() -> None:
    """From t intervals of both means, the ratio's is the bootstrap's, covariance included."""
    totals, sizes = unequal(4)
    first, second = (ClusterMean.of(totals[:, i], sizes[:, i]) for i in (0, 1))
    found = ratio_interval(first, second, t_interval(first), t_interval(second))
    draws = bootstrap_means(totals, sizes, 20_000, np.random.default_rng(5))
    expected = np.quantile(draws[:, 0] / draws[:, 1], [0.025, 0.975])
    assert found == pytest.approx(expected, abs=0.005)
    own = t_interval(first)
    assert ratio_interval(first, first, own, own)[0] == pytest.approx(1, abs=0.01)
