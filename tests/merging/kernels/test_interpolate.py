"""Weighted sums and great circles, against NumPy and geometry."""

import numpy as np
import pytest

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.interpolate import cosine, length, slerp_weights, weighted_sum

SIZES = [1, 511, 512, 513, 2000]


def normal(models: int, size: int) -> Array:
    """Return task vectors with some zeros."""
    values = np.random.default_rng(4).standard_normal((models, size)).astype(np.float32)
    values[:, ::5] = 0
    return values


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("models", [1, 2, 5])
def test_a_weighted_sum_is_that_of_float64(models: int, size: int) -> None:
    """The sum agrees with float64 to float32's rounding."""
    values, weights = normal(models, size), np.linspace(-1, 2, models)
    expected = weights @ values.astype(np.float64)
    assert np.abs(weighted_sum(values, weights) - expected).max() < 2e-6


def test_slerp_of_many_pairs_is_slerp_of_each() -> None:
    """Weights for many angles at once are those for each angle."""
    products = np.random.default_rng(0).uniform(0.1, 1, (2, 2, 9))
    products[[0, 1], [0, 1]] += 1
    together = slerp_weights(cosine(products), 0.3, 0.9995)
    for pair in range(9):
        assert np.array_equal(
            slerp_weights(cosine(products[..., pair]), 0.3, 0.9995), together[:, pair]
        )


@pytest.mark.parametrize("degrees", [1e-3, 1, 45, 90, 179])
def test_slerp_weights_are_those_of_the_circle(degrees: float) -> None:
    """Interpolating two unit vectors gives the unit vector at the share of the angle."""
    angle = np.radians(degrees)
    a, b = np.array([1.0, 0.0]), np.array([np.cos(angle), np.sin(angle)])
    pair = np.stack([a, b])
    for t in (0.0, 0.25, 1.0, 1.2):
        got = slerp_weights(cosine(pair @ pair.T), t, 1.0) @ pair
        assert got == pytest.approx([np.cos(t * angle), np.sin(t * angle)], abs=1e-9)


def test_the_length_of_a_weighted_sum() -> None:
    """It follows from the inner products, and is zero where the vectors cancel out."""
    vectors = np.random.default_rng(0).standard_normal((3, 10))
    shares = np.array([0.5, -2.0, 1.0])
    expected = np.linalg.norm(shares @ vectors)
    assert length(shares, vectors @ vectors.T) == pytest.approx(expected)
    opposite = np.array([[1.0, -1.0], [-1.0, 1.0]])
    assert length(np.array([0.1, 0.1]), opposite) == 0
