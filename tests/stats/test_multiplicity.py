"""Adjusted p-values agree with their definitions and with scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from mixmerge.stats.paired import benjamini_hochberg, holm

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


def test_holm_by_hand() -> None:
    """Smallest times 3, middle times 2, largest as it is, never falling."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_no_tests_give_no_p_values() -> None:
    """An empty family stays empty."""
    assert holm([]) == []
    assert benjamini_hochberg([]) == []


@given(P_VALUES)
def test_holm_is_the_closure_of_bonferroni(p_values: list[float]) -> None:
    """Holm's value is the largest Bonferroni value over all p-values not larger than it."""
    ordered = sorted(p_values)
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        steps = [(len(ordered) - i) * q for i, q in enumerate(ordered) if q <= p]
        # Equal p-values share the largest factor among them, which their first rank has.
        assert adjusted == pytest.approx(min(1.0, max(steps)))


@given(P_VALUES)
def test_benjamini_hochberg_is_scipys(p_values: list[float]) -> None:
    """Adjusted values are those of scipy's false_discovery_control."""
    expected = false_discovery_control(np.array(p_values))
    assert benjamini_hochberg(p_values) == pytest.approx(expected.tolist())
