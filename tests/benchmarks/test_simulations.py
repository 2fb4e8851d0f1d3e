"""The intervals that the benchmark of coverage compares with are those of the textbooks."""

import numpy as np
import pytest
from benchmarks.simulations import bca_interval, leave_one_out, t_interval
from scipy import stats

from mixmerge.stats.bootstrap import bootstrap_means
from mixmerge.stats.intervals import ClusterMean


def test_bca_interval_agrees_with_scipy() -> None:
    """BCa ends of a skewed mean are scipy's, up to the noise of the draws."""
    data = np.random.default_rng(3).exponential(size=40)
    expected = stats.bootstrap(
        (data,),
        lambda sample, axis: np.mean(sample, axis=axis),
        vectorized=True,
        method="BCa",
        n_resamples=40_000,
        rng=np.random.default_rng(4),
    ).confidence_interval
    totals, sizes = data[:, None], np.ones((40, 1))
    draws = bootstrap_means(totals, sizes, 40_000, np.random.default_rng(5))[:, 0]
    seen = bca_interval(float(data.mean()), draws, leave_one_out(data, sizes[:, 0]))
    assert seen == pytest.approx((expected.low, expected.high), abs=0.02)


def test_bca_of_identical_draws_is_that_value() -> None:
    """Without variation BCa falls back to the percentile interval instead of dividing by zero."""
    assert bca_interval(0.5, np.full(100, 0.5), np.full(10, 0.5)) == (0.5, 0.5)


def test_clusters_of_one_give_students_interval() -> None:
    """With one value per cluster, mean ± t standard errors is the textbook interval."""
    data = np.random.default_rng(0).normal(size=14)
    expected = stats.t.interval(0.95, 13, loc=data.mean(), scale=stats.sem(data))
    assert t_interval(ClusterMean.of(data, np.ones(14))) == pytest.approx(expected)
