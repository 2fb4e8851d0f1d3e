"""The cluster bootstrap agrees with scipy, with loops, and with simulation."""

import numpy as np
import pytest
from scipy import stats

from mixmerge.stats.bootstrap import (
    bootstrap_means,
    cluster_totals,
    draw_clusters,
    expanded_level,
    percentile_interval,
)


def test_every_draw_takes_as_many_clusters_as_there_are() -> None:
    """Each row of counts sums to the number of clusters, and clusters are equally likely."""
    counts = draw_clusters(7, 20_000, np.random.default_rng(0))
    assert counts.shape == (20_000, 7)
    assert (counts.sum(axis=1) == 7).all()
    # One count is binomial(7, 1/7): mean 1, variance 6/7.
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.03)
    assert counts.var(axis=0) == pytest.approx(np.full(7, 6 / 7), abs=0.05)


def test_totals_leave_missing_values_out() -> None:
    """A NaN adds neither to the sum nor to the number of its cluster."""
    values = np.array([[1.0, 0.5], [np.nan, 0.5], [0.0, 1.0]])
    totals, sizes = cluster_totals(values, np.array([0, 0, 1]), 2)
    assert totals.tolist() == [[1.0, 1.0], [0.0, 1.0]]
    assert sizes.tolist() == [[1.0, 2.0], [1.0, 1.0]]


def test_matrix_product_equals_resampling_rows_by_hand() -> None:
    """A draw of counts gives the mean of the rows of the clusters that it took."""
    rng = np.random.default_rng(1)
    cluster = rng.integers(5, size=40)
    values = rng.random((40, 3))
    totals, sizes = cluster_totals(values, cluster, 5)
    counts = draw_clusters(5, 20, np.random.default_rng(7))
    drawn = bootstrap_means(totals, sizes, 20, np.random.default_rng(7))
    for row, means in zip(counts, drawn, strict=True):
        taken = [values[cluster == c] for c in range(5) for _ in range(int(row[c]))]
        assert means == pytest.approx(np.concatenate(taken).mean(axis=0))


def test_drawing_in_pieces_keeps_the_pairing_of_columns() -> None:
    """Two equal columns have equal draws, also when the draws are made in pieces."""
    rng = np.random.default_rng(2)
    totals = np.repeat(rng.random((3000, 1)), 2, axis=1)
    means = bootstrap_means(totals, np.ones_like(totals), 3000, rng)
    assert means.shape == (3000, 2)
    assert (means[:, 0] == means[:, 1]).all()
    assert means[:, 0].std() == pytest.approx(totals[:, 0].std() / np.sqrt(3000), rel=0.05)


def test_interval_agrees_with_scipy() -> None:
    """Percentile ends of a skewed mean are scipy's, up to the noise of the draws."""
    data = np.random.default_rng(3).exponential(size=40)
    expected = stats.bootstrap(
        (data,),
        lambda sample, axis: np.mean(sample, axis=axis),
        vectorized=True,
        method="percentile",
        n_resamples=40_000,
        rng=np.random.default_rng(4),
    ).confidence_interval
    totals, sizes = data[:, None], np.ones((40, 1))
    draws = bootstrap_means(totals, sizes, 40_000, np.random.default_rng(5))[:, 0]
    assert percentile_interval(draws) == pytest.approx((expected.low, expected.high), abs=0.02)


def test_expanded_interval_of_a_mean_is_students() -> None:
    """With expanded tails, the percentile interval of a mean is the t interval."""
    data = np.random.default_rng(8).normal(size=12)
    expected = stats.t.interval(0.95, 11, loc=data.mean(), scale=stats.sem(data))
    draws = bootstrap_means(data[:, None], np.ones((12, 1)), 200_000, np.random.default_rng(9))[
        :, 0
    ]
    assert percentile_interval(draws, expanded_level(12)) == pytest.approx(expected, abs=0.08)
    assert percentile_interval(draws)[0] > expected[0] + 0.08
    assert expanded_level(10_000) == pytest.approx(0.95, abs=1e-4)


def test_an_end_is_infinite_when_enough_draws_are() -> None:
    """More than 2.5 % infinite draws make the upper end infinite; fewer do not."""
    many = np.concatenate([np.linspace(0, 1, 960), np.full(40, np.inf)])
    few = np.concatenate([np.linspace(0, 1, 990), np.full(10, np.inf)])
    assert percentile_interval(many)[1] == np.inf
    assert 0.97 < percentile_interval(few)[1] <= 1
