"""Tests of mixmerge.stats.sequential: boundaries, p-values and intervals of several looks."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from mixmerge.stats.sequential import nominal_levels, sequential_p, spent, widening

FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)


def z(level: float) -> float:
    """Return the boundary of a two-sided level."""
    return NormalDist().inv_cdf(1 - level / 2)


@pytest.mark.parametrize(
    ("alpha", "fractions", "published"),
    [
        (0.05, FIVE, (4.877, 3.357, 2.680, 2.290, 2.031)),
        (0.05, (1 / 3, 2 / 3, 1.0), (3.710, 2.511, 1.993)),
        (0.05, (0.5, 1.0), (2.963, 1.969)),
        (0.05, (1.0,), (1.960,)),
    ],
    ids=["five", "three", "two", "one"],
)
def test_boundaries_are_those_of_the_tables(
    alpha: float, fractions: tuple[float, ...], published: tuple[float, ...]
) -> None:
    """The Lan-DeMets boundaries of O'Brien-Fleming type, to the digits that are published."""
    found = [z(level) for level in nominal_levels(alpha, fractions)]
    assert found == pytest.approx(published, abs=6e-4)


@pytest.mark.parametrize("fractions", [(0.3, 0.35, 0.9), (0.5, 0.51, 1.0)], ids=str)
def test_looks_that_are_close_or_uneven_spend_what_they_should(
    fractions: tuple[float, ...],
) -> None:
    """The chance to cross by each look, from the normal distribution of all looks together."""
    limits = [z(level) for level in nominal_levels(0.05, fractions)]
    covariance = [[math.sqrt(min(s, t) / max(s, t)) for s in fractions] for t in fractions]
    for count in range(1, len(fractions) + 1):
        inside = multivariate_normal.cdf(
            limits[:count], cov=np.array(covariance)[:count, :count] + 1e-12 * np.eye(count),
            lower_limit=[-each for each in limits[:count]], abseps=1e-7, maxpts=2_000_000,
        )  # fmt: skip
        assert 1 - inside == pytest.approx(spent(0.05, fractions[count - 1]), abs=2e-5)


def test_a_walk_crosses_in_five_of_a_hundred() -> None:
    """200,000 random walks without drift, tested at five looks."""
    steps = np.random.default_rng(0).standard_normal((200_000, 5)) * math.sqrt(0.2)
    walks = np.abs(np.cumsum(steps, axis=1)) / np.sqrt(FIVE)
    crossed = (walks > [z(level) for level in nominal_levels(0.05, FIVE)]).any(axis=1)
    assert crossed.mean() == pytest.approx(0.05, abs=0.0015)


def test_the_p_value_is_below_a_level_where_a_look_rejects_at_it() -> None:
    """At the boundary of any level the p-value is that level, whichever look is there."""
    for alpha in (1e-4, 0.003, 0.05, 0.4):
        for count in range(1, 6):
            level = nominal_levels(alpha, FIVE[:count])[-1]
            if level > 1e-9:
                p = sequential_p([1.0] * (count - 1) + [level], FIVE[:count])
                assert p == pytest.approx(alpha, rel=0.01)


def test_the_p_value_never_rises_with_more_looks_and_is_no_smaller_than_one_look() -> None:
    """A decision stays; looking costs something; what is not known counts as 1."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        p_values = (rng.random(5) ** 3).tolist()
        path = [sequential_p(p_values[:n], FIVE[:n]) for n in range(1, 6)]
        assert path == sorted(path, reverse=True)
        assert path[-1] >= min(p_values)
    assert sequential_p([1.0, 1.0], (0.5, 1.0)) == 1.0
    assert sequential_p([0.03], (1.0,)) == pytest.approx(0.03, rel=0.01)
    assert sequential_p([1e-200], (0.01,)) <= 1


def test_intervals_of_early_looks_are_wider() -> None:
    """The last of five looks is hardly wider than a single one; one at 1 % of the data has none."""
    found = [widening(0.05, FIVE[:count]) for count in range(1, 6)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(2.031 / 1.960, abs=1e-3)
    assert widening(0.05, (0.01,)) == math.inf
