"""What several models say of one element, against NumPy."""

import numpy as np
import pytest

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.across_models import mean_of_changed, standard_deviation

SIZES = [1, 511, 512, 513, 2000]


def normal(models: int, size: int) -> Array:
    """Return task vectors with some zeros."""
    values = np.random.default_rng(4).standard_normal((models, size)).astype(np.float32)
    values[:, ::5] = 0
    return values


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
