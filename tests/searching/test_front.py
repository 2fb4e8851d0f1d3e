"""Tests of mixmerge.searching.front: members, and intervals that hold together."""

from typing import Any

import numpy as np
import pytest

from mixmerge.searching.front import choose_members, nearest, on_front, simultaneous
from mixmerge.searching.models import variance_of
from mixmerge.searching.objective import Measured, Trial
from mixmerge.stats.bootstrap import cluster_totals
from mixmerge.stats.intervals import ClusterMean


def trials(*values: tuple[float, float], looks: Any = 2, error: float = 0.01) -> list[Trial]:
    """Trials with these estimates."""
    return [
        Trial(number, None, [{}] * looks, Measured(each, (error**2,) * 2))  # type: ignore[arg-type]
        for number, each in enumerate(values, 1)
    ]


def mean(values: list[float]) -> ClusterMean:
    """The mean of values that are clusters of their own."""
    totals, sizes = cluster_totals(np.array(values)[:, None], np.arange(len(values)), len(values))
    return ClusterMean.of(totals[:, 0], sizes[:, 0])


def test_members_are_spread_over_the_front() -> None:
    """Of near twins one is chosen, and a dominated candidate is not."""
    made = trials((0.9, 0.1), (0.89, 0.11), (0.5, 0.5), (0.1, 0.9), (0.3, 0.3))
    chosen = choose_members(made, (0.0, 0.0), 3, 0)
    assert {1, 2} & {trial.number for trial in chosen}
    assert {3, 4} < {trial.number for trial in chosen}
    assert len(choose_members(made, (0.0, 0.0), 5, 0)) <= 4


def test_a_lucky_first_look_is_no_member() -> None:
    """A candidate that was only screened is left out while others have answered everything."""
    made = trials((0.5, 0.5), (0.4, 0.6))
    lucky = trials((0.9, 0.9), looks=1)[0]
    lucky.number = 3
    assert 3 not in {trial.number for trial in choose_members([*made, lucky], (0, 0), 3, 0)}


def test_without_any_that_keeps_the_constraints_the_nearest_is_chosen() -> None:
    """The member misses its constraints by least, and none is said to be on the front."""
    made = trials((0.9, 0.9), (0.5, 0.5), (0.7, 0.7))
    for trial, slacks in zip(made, [(-0.3, 0.1), (-0.05, -0.1), (0.2, -0.4)], strict=True):
        trial.measured = Measured((0.5, 0.5), (0.01, 0.01), slacks, (0.01, 0.01))
    assert nearest(made).number == 2
    assert [trial.number for trial in choose_members(made, (0, 0), 3, 0)] == [2]
    assert on_front(made, 0) == {}


def test_the_probability_of_the_front_is_that_of_its_noise() -> None:
    """Far apart on both goals it is 0 or 1; a twin with noise on two goals is free 3 times in 4."""
    sure = on_front(trials((0.9, 0.9), (0.1, 0.1)), 0)
    assert sure == {1: 1.0, 2: 0.0}
    twins = on_front(trials((0.5, 0.5), (0.5, 0.5)), 0)
    assert list(twins.values()) == pytest.approx([0.75, 0.75], abs=0.03)


def test_intervals_hold_together() -> None:
    """Of eight rates, all intervals cover in at least 95 % of samples, and single ones do not."""
    rng, truth = np.random.default_rng(0), np.array([0.02, 0.1, 0.3, 0.5, 0.6, 0.8, 0.9, 0.99])
    held = {1: 0, 8: 0}
    for _ in range(200):
        means = [mean(list(map(float, column))) for column in (rng.random((120, 8)) < truth).T]
        for looks in held:
            ends = [simultaneous(own, variance_of(own), looks) for own in means]
            pairs = zip(ends, truth, strict=True)
            held[looks] += all(low <= true <= high for (low, high), true in pairs)
    assert held[8] / 200 >= 0.945
    assert held[1] / 200 < 0.85


def test_a_rate_of_zero_has_an_exact_limit() -> None:
    """None of 50: the upper end is where seeing none is as rare as asked (Clopper and Pearson)."""
    low, high = simultaneous(mean([0.0] * 50), 0.1, 4)
    assert low == 0
    assert (1 - high) ** 50 == pytest.approx(0.025 / 4)
    assert simultaneous(mean([1.0] * 50), 0.1, 4) == pytest.approx((1 - high, 1.0))
