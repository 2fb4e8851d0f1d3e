"""Tests of mixmerge.stats.seeds against statsmodels and simulated seeds."""

from typing import Any

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from mixmerge.errors import SampleError
from mixmerge.stats.seeds import (
    SeedSpread,
    clusters_over_seeds,
    seed_spread,
    seeds_needed,
    smallest_over_seeds,
)

KNOWN = SeedSpread(sd=0.05, ci=(0.03, 0.1), seeds=5, per_seed=0.0)


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("tests", [1, 4])
def test_without_an_error_of_prompts_it_is_a_t_test_of_seeds(seeds: int, tests: int) -> None:
    """Where prompts are endless, each seed is one observation of a one-sample t test."""
    found = smallest_over_seeds(KNOWN, seeds, 1e-9, 1000, tests)
    power = TTestPower().power(found / 0.05, nobs=seeds, alpha=0.05 / tests)
    assert power == pytest.approx(0.8, abs=1e-4)


def test_with_seeds_that_do_not_differ_it_is_a_t_test_of_prompts() -> None:
    """Without a spread over seeds, clusters are the observations."""
    none = SeedSpread(sd=0.0, ci=(0.0, 0.0), seeds=5, per_seed=0.0)
    effect = TTestPower().solve_power(nobs=50, alpha=0.05, power=0.8)
    found = smallest_over_seeds(none, 4, 0.3 / np.sqrt(50), 50, 1)
    assert found == pytest.approx(0.3 * effect, rel=1e-3)


def test_the_spread_over_seeds_is_recovered() -> None:
    """Over many simulated pilots, the mean squares give the variances that were put in."""
    rng = np.random.default_rng(0)
    found = [
        seed_spread(
            rng.normal(0, 0.05, (6, 1)) + rng.normal(0, 0.3, (1, 80)) + rng.normal(0, 0.2, (6, 80))
        )
        for _ in range(400)
    ]
    assert np.mean([each.sd**2 for each in found]) == pytest.approx(0.05**2, rel=0.1)
    assert np.mean([each.per_seed for each in found]) == pytest.approx(0.04 / 0.13, rel=0.05)
    assert np.mean([each.ci[0] <= 0.05 <= each.ci[1] for each in found]) > 0.92


def test_one_seed_shows_nothing_of_it() -> None:
    """The spread of one seed is refused, with the number seen."""
    with pytest.raises(SampleError, match="only in two or more: 1 given"):
        seed_spread(np.zeros((1, 50)))


def test_needed_seeds_and_clusters_are_the_fewest_that_do() -> None:
    """One seed, or one cluster, less would not show the difference; some are never enough."""
    asked: dict[str, Any] = {"error": 0.04, "clusters": 100, "tests": 2}
    seeds = seeds_needed(KNOWN, 0.2, **asked)
    assert seeds is not None
    assert smallest_over_seeds(KNOWN, seeds, **asked) <= 0.2
    assert smallest_over_seeds(KNOWN, seeds - 1, **asked) > 0.2
    clusters = clusters_over_seeds(KNOWN, 5, difference=0.12, **asked)
    assert clusters is not None

    def smallest(count: int) -> float:
        return smallest_over_seeds(KNOWN, 5, 0.04 * np.sqrt(100 / count), count, 2)

    assert smallest(clusters) <= 0.12 < smallest(clusters - 1)
    assert clusters_over_seeds(KNOWN, 5, difference=0.05, **asked) is None
    assert seeds_needed(KNOWN, 0.001, **asked) is None
