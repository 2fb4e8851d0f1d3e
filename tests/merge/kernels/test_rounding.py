"""Rounding against exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixmerge.merge.kernels.rounding import all_finite, narrow, widen


def exact_bfloat16(bits: int) -> Fraction:
    """Return the value of bfloat16 bits by the definition of the format."""
    sign = -1 if bits >> 15 else 1
    exponent, fraction = (bits >> 7) & 0xFF, bits & 0x7F
    if exponent == 0:
        return sign * Fraction(fraction, 1 << 7) * Fraction(2) ** -126
    return sign * (1 + Fraction(fraction, 1 << 7)) * Fraction(2) ** (exponent - 127)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 0x7F7F_FFFF), st.booleans())
@example(0x3F80_8000, False)
@example(0x3F81_8000, False)
@example(0x0000_8000, True)
@example(0x7F7F_7FFF, False)
@example(0, True)
def test_bfloat16_is_the_nearest_and_even_in_a_tie(magnitude: int, negative: bool) -> None:
    """A float32 number rounds to the nearest bfloat16, and in a tie to the one with even bits."""
    bits = np.array([magnitude | (int(negative) << 31)], np.uint32)
    value = bits.view(np.float32)
    got = int(narrow(value, "BF16")[0])
    below = magnitude >> 16
    exact = abs(Fraction(float(value[0])))
    # Beyond the largest number the format goes on, for rounding, as if there were one more.
    lower, upper = exact_bfloat16(below), exact_bfloat16(below + 1)
    down, up = exact - lower, upper - exact
    nearest = below if down < up or (down == up and below % 2 == 0) else below + 1
    assert got == nearest | (int(negative) << 15)


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_widening_is_exact_and_narrowing_undoes_it(dtype: str) -> None:
    """All finite 16-bit numbers, denormals and both zeros included, survive the round trip."""
    bits = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
    stored = bits if dtype == "BF16" else bits.view(np.float16)
    finite = (bits & 0x7F80) != 0x7F80 if dtype == "BF16" else np.isfinite(stored)
    stored = stored[finite]
    assert np.array_equal(
        narrow(widen(stored, dtype), dtype).view(np.uint16), stored.view(np.uint16)
    )


def test_bfloat16_bits_mean_what_the_format_says() -> None:
    """Widened bits have the value that the definition of bfloat16 gives them."""
    for bits in (0x0000, 0x0001, 0x007F, 0x0080, 0x3F80, 0x4049, 0xC2F7, 0x7F7F):
        assert Fraction(float(widen(np.array([bits], np.uint16), "BF16")[0])) == exact_bfloat16(
            bits
        )


def test_nan_stays_nan() -> None:
    """A NaN whose payload lies in the lost half does not turn into infinity."""
    nan = np.array([0x7F80_0001, 0xFFFF_FFFF], np.uint32).view(np.float32)
    assert np.isnan(widen(narrow(nan, "BF16"), "BF16")).all()


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found(dtype: str, bad: float) -> None:
    """One NaN or infinity among finite numbers is seen in each stored type."""
    values = np.array([0.0, 1.0, -1e-6], np.float32)
    assert all_finite(narrow(values, dtype), dtype)
    values[1] = bad
    assert not all_finite(narrow(values, dtype), dtype)


def test_zero_dimensions_and_widths_keep_their_shape() -> None:
    """Narrowing keeps the shape of arrays that are not contiguous."""
    values = np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2]
    assert np.array_equal(widen(narrow(values, "BF16"), "BF16"), values)
