"""Election of signs, against NumPy."""

import numpy as np
import pytest

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.consensus import (
    elected_sum,
    sign_by_count,
    sign_by_mass,
    sum_of_agreeing,
)

SIZES = [1, 511, 512, 513, 2000]


def normal(models: int, size: int) -> Array:
    """Return task vectors with some zeros."""
    values = np.random.default_rng(4).standard_normal((models, size)).astype(np.float32)
    values[:, ::5] = 0
    return values


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
