"""Weighted sums and inner products, against NumPy in float64."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from tests.merging.kernels.task_vectors import SIZES, normal

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.linear_algebra import (
    conflict,
    cosine,
    difference,
    dot,
    length,
    magnitude,
    row_dots,
    row_products,
    slerp_weights,
    weighted_sum,
)


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


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 300])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_sums_are_those_of_exact_arithmetic(size: int, scale: float) -> None:
    """Inner product and L1 norm agree with rational arithmetic to float64 precision."""
    rng = np.random.default_rng(1)
    a, b = (scale * rng.standard_normal((2, size))).astype(np.float32)
    products = [Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a, b, strict=True)]
    allowed = 1e-14 * float(sum(abs(product) for product in products))
    assert abs(dot(a, b) - float(sum(products))) <= allowed
    assert magnitude(a) == pytest.approx(float(sum(abs(Fraction(float(x))) for x in a)), rel=1e-14)


def test_huge_numbers_do_not_overflow() -> None:
    """The sum of squares of the largest float32 numbers is finite."""
    huge = np.full(1000, np.finfo(np.float32).max, np.float32)
    assert dot(huge, huge) == pytest.approx(1000 * float(huge[0]) ** 2)


@pytest.mark.parametrize("shape", [(3, 200), (7, 1), (1, 65)])
def test_rows_are_summed_apart(shape: tuple[int, int]) -> None:
    """Each row has its own inner product, and all pairs of vectors theirs."""
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((3, *shape), dtype=np.float32)
    expected = np.einsum("irc,jrc->ijr", vectors, vectors, dtype=np.float64)
    assert row_products(vectors) == pytest.approx(expected, rel=1e-13, abs=1e-13)
    assert row_dots(vectors[0], vectors[1]).tolist() == [
        dot(a, b) for a, b in zip(vectors[0], vectors[1], strict=True)
    ]


ADVERSARIAL = np.array(
    [0.0, -0.0, 1e-45, -1e-45, 1e-38, -1e-38, 1.0, -1.0, 1 + 2**-23, 3e38, -3e38], np.float32
)


def pair(size: int, seed: int) -> tuple[Array, Array]:
    """Return two arrays in which many elements are equal, zero, or opposite."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(size).astype(np.float32) * rng.integers(0, 2, size).astype(np.float32)
    b = np.where(rng.random(size) < 0.5, a * rng.choice([-1, 1], size), rng.standard_normal(size))
    return a, b.astype(np.float32)


def every_pair(values: Array) -> tuple[Array, Array]:
    """Return all combinations of values."""
    a, b = np.meshgrid(values, values)
    return np.ascontiguousarray(a.reshape(-1)), np.ascontiguousarray(b.reshape(-1))


def check(found: Any, expected: list[float], scale: list[float]) -> None:
    """Compare sums, allowing float64 rounding relative to the sum of magnitudes."""
    for mine, theirs, size in zip(found.tolist(), expected, scale, strict=True):
        assert mine == pytest.approx(theirs, rel=0, abs=1e-14 * size)


@pytest.mark.parametrize(
    "arrays",
    [
        *(pair(size, size) for size in (0, 1, 2, 15, 16, 17, 33, 4096, 32768)),
        every_pair(ADVERSARIAL),
    ],
    ids=lambda arrays: str(arrays[0].size),
)
def test_sums_are_those_of_the_definitions(arrays: tuple[Array, Array]) -> None:
    """Products, distances and magnitudes are right to float64, and counts are exact."""
    a, b = arrays
    xs, ys = a.astype(np.float64).tolist(), b.astype(np.float64).tolist()
    both = list(zip(xs, ys, strict=True))
    products = [x * y for x, y in both]
    size = math.fsum(map(abs, products))
    squares = math.fsum((x - y) ** 2 for x, y in both)
    unequal = sum(x != y for x, y in both)
    check(difference(a, b), [math.fsum(products), squares, unequal], [size, squares, 0])
    moved = [(x, y) for x, y in both if x and y]
    opposed = sum((x < 0) != (y < 0) for x, y in moved)
    apart = math.fsum(abs(x) + abs(y) for x, y in both)
    together = math.fsum(abs(x + y) for x, y in both)
    check(
        conflict(a, b),
        [math.fsum(products), len(moved), opposed, apart, together],
        [size, 0, 0, apart, apart],
    )
