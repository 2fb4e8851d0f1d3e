"""Tests of mixmerge.evaluation.measures.mean: where grades have an interval."""

import numpy as np
import pytest

from mixmerge.evaluation.measures.mean import Mean
from mixmerge.stats.intervals import ClusterSample


def sample(*values: float) -> ClusterSample:
    return ClusterSample(np.array(values)[:, None], np.arange(len(values)))


def test_grades_that_are_all_alike_have_no_interval() -> None:
    """Many values near one another do not show how often there is a quite different one."""
    alike = np.linspace(0, 0.05, 50)
    found = Mean().estimate(sample(*alike), 0)
    assert found.value == pytest.approx(0.025)
    assert found.offered is None
    expected = "0 of 50 source prompts differ by 10% of the range from the median, 5 required"
    assert found.absent == expected
    assert Mean().estimate_difference(sample(*alike), 0).absent == expected


def test_grades_that_differ_have_an_interval_within_the_bounds() -> None:
    """Five grades a tenth of the range away are enough, one step of eleven grades is a tenth."""
    found = Mean().estimate(sample(*[1.0] * 45, *[0.9] * 5), 0)
    assert found.offered is not None
    low, high = found.offered
    assert 0.95 < low < found.value < high < 1
    assert Mean().estimate(sample(*[1.0] * 46, *[0.9] * 4), 0).offered is None


def test_grades_that_are_all_ends_are_a_rate() -> None:
    """With only the lowest and the highest grade the interval is Wilson's, as of a rate."""
    ends = sample(*[1.0] * 12, *[0.0] * 28)
    assert Mean().estimate(ends, 0) == ends.rate(0)
