"""What several task vectors say of one element, against NumPy."""

import numpy as np
import pytest
from tests.merging.kernels.task_vectors import SIZES, normal

from mixmerge.merging.kernels.across_models import (
    elected_sum,
    mean_of_changed,
    sign_by_count,
    sign_by_mass,
    standard_deviation,
    sum_of_agreeing,
)


@pytest.mark.parametrize("size", SIZES)
def test_the_deviation_is_exact(size: int) -> None:
    """It is that of float64, zero where all are equal, and finite for the largest numbers."""
    values = normal(3, size)
    assert np.array_equal(
        standard_deviation(values), np.std(values.astype(np.float64), axis=0).astype(np.float32)
    )
    third = np.full((7, size), 1 / 3, np.float32)
    assert not standard_deviation(third).any()
    huge = np.full((2, size), 3e38, np.float32) * np.array([[1], [-1]], np.float32)
    assert standard_deviation(huge) == pytest.approx(3e38)


@pytest.mark.parametrize("size", SIZES)
def test_the_mean_of_what_changed(size: int) -> None:
    """Elements are averaged over the models that changed them, lone ones multiplied."""
    values, boosts = normal(3, size), np.array([1.0, 2.0, 0.5])
    changed = np.abs(values) > np.float32(0.7)
    count = changed.sum(0)
    factor = np.where(count == 1, (boosts[:, None] * changed).sum(0), 1 / np.maximum(count, 1))
    expected = (values * changed).sum(0) * factor
    assert mean_of_changed(values, 0.7, boosts) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_what_just_reaches_epsilon_is_no_change() -> None:
    """A change must exceed epsilon."""
    epsilon = np.float32(1e-5)
    values = np.array([[epsilon, np.nextafter(epsilon, np.float32(1))]], np.float32)
    assert np.flatnonzero(mean_of_changed(values, 1e-5, [1.0])).tolist() == [1]


@pytest.mark.parametrize("size", SIZES)
def test_signs_are_elected_and_what_agrees_is_added(size: int) -> None:
    """Signs by mass and by count, and the sums over the agreeing, are those of NumPy."""
    values, weights = normal(3, size), np.array([0.5, 2.0, 1.0], np.float32)
    mass = np.where(values.astype(np.float64).sum(0) >= 0, 1, -1)
    assert np.array_equal(sign_by_mass(values), mass)
    assert np.array_equal(sign_by_count(values), np.sign(np.sign(values).sum(0)))
    agrees = values * mass > 0
    total, share = sum_of_agreeing(values, weights, sign_by_mass(values))
    assert total == pytest.approx((values * agrees).sum(0), rel=1e-6)
    assert share == pytest.approx((weights[:, None] * agrees).sum(0), rel=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_the_election_in_one_go_is_its_parts(size: int) -> None:
    """All steps of an election together give the same bits as one by one."""
    values, weights = normal(3, size), np.array([0.5, -2.0, 1.0], np.float32)
    shares = np.array([1.0, 3.0, 0.0], np.float32)
    base = np.linspace(-1, 1, size, dtype=np.float32)
    weighted = values * weights[:, None]
    total, share = sum_of_agreeing(weighted, shares, sign_by_mass(weighted))
    factor = np.float32(0.7)
    assert np.array_equal(elected_sum(values, weights, None, 0.7, base), total * factor + base)
    total /= np.where(share == 0, np.float32(1), share)
    assert np.array_equal(elected_sum(values, weights, shares, 0.7, base), total * factor + base)
