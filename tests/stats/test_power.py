"""Tests of mixmerge.stats.power against simulated studies."""

import math

import numpy as np
import pytest

from mixmerge.stats.power import clusters_needed, smallest_difference
from mixmerge.stats.proportions import tango_p


@pytest.mark.parametrize(("clusters", "comparisons"), [(150, 1), (400, 1), (400, 10)])
def test_four_of_five_studies_find_it(clusters: int, comparisons: int) -> None:
    """Simulated pairs of models with that difference are told apart in 80 % of studies."""
    discordant = 0.3
    difference = smallest_difference(clusters, discordant, comparisons)
    gain, loss = (discordant + difference) / 2, (discordant - difference) / 2
    rng = np.random.default_rng(0)
    counts = rng.multinomial(clusters, [gain, loss, 1 - discordant], size=2000) / clusters
    level = 0.025 / comparisons
    found = [tango_p(float(a), float(b), clusters, 0.0) < level for a, b, _ in counts]
    assert np.mean(found) == pytest.approx(0.8, abs=0.04)


def test_more_prompts_show_less_and_more_comparisons_need_more() -> None:
    """Four times as many prompts halve it, roughly; ten comparisons make it larger."""
    few, many = (smallest_difference(n, 0.3) for n in (100, 400))
    assert few == pytest.approx(2 * many, rel=0.05)
    assert smallest_difference(400, 0.3, 10) > many


def test_a_difference_is_never_larger_than_the_share_that_differs() -> None:
    """Ten prompts show nothing of models that differ on one of ten."""
    assert smallest_difference(10, 0.1) == 0.1
    assert smallest_difference(1, 1.0) == 1.0
    assert math.isfinite(smallest_difference(3, 0.5, 1000))


@pytest.mark.parametrize(("clusters", "comparisons"), [(150, 1), (400, 1), (400, 10)])
def test_needed_clusters_are_those_whose_smallest_difference_it_is(
    clusters: int, comparisons: int
) -> None:
    """Solving for the number of clusters is the reverse of solving for the difference."""
    difference = smallest_difference(clusters, 0.3, comparisons)
    assert clusters_needed(difference, 0.3, comparisons) in (clusters, clusters + 1)
    assert clusters_needed(-difference, 0.3, comparisons) in (clusters, clusters + 1)
