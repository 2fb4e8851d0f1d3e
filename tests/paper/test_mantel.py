"""Mantel's test: right p-values, no more findings than promised where nothing is there."""

from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray
from paper.mantel import mantel, power
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr

from mixmerge.errors import SampleError

Floats = NDArray[np.float64]


def scattered(rng: np.random.Generator, things: int) -> Floats:
    """Return the distances between random points of the plane."""
    distances: Floats = squareform(pdist(rng.normal(size=(things, 2))))
    return distances


def test_few_things_are_tested_exactly() -> None:
    """With five things, correlation and p are those of scipy over all 120 orders."""
    rng = np.random.default_rng(0)
    first, second = scattered(rng, 5), scattered(rng, 5)
    pairs = np.triu_indices(5, 1)
    every = [
        float(spearmanr(first[pairs], second[np.ix_(order, order)][pairs]).statistic)
        for order in permutations(range(5))
    ]
    found = mantel(first, second, rng)
    assert found.pairs == 10
    assert found.correlation == pytest.approx(every[0])
    assert found.p == pytest.approx(np.mean(np.abs(every) >= abs(every[0]) - 1e-9))


def test_nothing_is_found_as_often_as_the_level_says() -> None:
    """Between unrelated distances p is below 0.1 in about a tenth of the studies."""
    rng = np.random.default_rng(1)
    found = [
        mantel(scattered(rng, 8), scattered(rng, 8), rng, draws=199).p <= 0.1 for _ in range(400)
    ]
    assert 0.06 < np.mean(found) < 0.145


def test_a_distance_is_related_to_itself() -> None:
    """Equal distances correlate fully, and no drawn order reaches that."""
    distances = scattered(np.random.default_rng(2), 9)
    found = mantel(distances, distances, np.random.default_rng(3), draws=999)
    assert found.correlation == pytest.approx(1)
    assert found.p == pytest.approx(1 / 1000)


def test_power_is_the_level_without_a_relation_and_grows_with_it() -> None:
    """Without a relation few studies find one; with a strong one most do."""
    distances = scattered(np.random.default_rng(4), 10)
    rng = np.random.default_rng(5)
    none, some, strong = (power(distances, r, rng, studies=150) for r in (0.0, 0.4, 0.9))
    assert none < 0.12
    assert none < some < strong
    assert strong > 0.9


def test_too_few_things_and_equal_distances_are_refused() -> None:
    """Three things, or one distance for all pairs, cannot be tested."""
    rng = np.random.default_rng(6)
    with pytest.raises(SampleError, match="at least 4 things, got 3"):
        mantel(scattered(rng, 3), scattered(rng, 3), rng)
    with pytest.raises(SampleError, match="all pairs have the same distance"):
        mantel(scattered(rng, 5), np.ones((5, 5)), rng)
