"""Sums over two tiles, against sums without rounding."""

import math
from typing import Any

import numpy as np
import pytest

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.comparison import conflict, difference

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
