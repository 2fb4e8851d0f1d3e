"""Sums against exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

from mixmerge.merging.kernels.reductions import dot, magnitude, row_dots, row_products


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
