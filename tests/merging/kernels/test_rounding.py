"""Rounding against exact arithmetic."""

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.rounding import STORED, finite_bfloat16, narrow_into, widen_into
from mixmerge.merging.kernels.selection import subtract_bfloat16

TYPES = ["BF16", "F16", "F32"]
FRACTION = {"BF16": 7, "F16": 10, "F32": 23}
EXPONENT = {"BF16": 8, "F16": 5, "F32": 8}

Bits = npt.NDArray[np.unsignedinteger[Any]]


def widened(bits: Bits, dtype: str) -> tuple[Array, bool]:
    """Return stored bits as float32, and whether all are finite."""
    out = np.empty(bits.size, np.float32)
    finite = widen_into(bits.view(np.uint8), dtype, out)
    return out, finite


def narrowed(values: Array, dtype: str) -> tuple[Bits, bool]:
    """Return the stored bits of float32 values, and whether all are finite."""
    raw = np.empty(values.size * np.dtype(STORED[dtype]).itemsize, np.uint8)
    finite = narrow_into(values, dtype, raw)
    return raw.view(np.uint32 if dtype == "F32" else np.uint16), finite


def exact(magnitude: int, dtype: str) -> Fraction:
    """Return the value of bits without a sign, by the definition of the format.

    Beyond the largest number the format goes on as if there were one more exponent.
    """
    fraction, bias = FRACTION[dtype], 2 ** (EXPONENT[dtype] - 1) - 1
    exponent, digits = magnitude >> fraction, magnitude & (2**fraction - 1)
    if exponent == 0:
        return Fraction(digits, 2**fraction) * Fraction(2) ** (1 - bias)
    return (1 + Fraction(digits, 2**fraction)) * Fraction(2) ** (exponent - bias)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["BF16", "F16"]), st.integers(0, 0x7F7F_FFFF), st.booleans())
@example("BF16", 0x3F80_8000, False)
@example("BF16", 0x3F81_8000, False)
@example("BF16", 0x0000_8000, True)
@example("BF16", 0x7F7F_7FFF, False)
@example("F16", 0x3F80_1000, True)
@example("F16", 0x387F_FFFF, False)
@example("F16", 0x3300_0000, False)
@example("F16", 0x3300_0001, True)
@example("F16", 0x477F_EFFF, False)
@example("F16", 0x477F_F000, False)
@example("F16", 0, True)
def test_numbers_round_to_the_nearest_and_even_in_a_tie(
    dtype: str, magnitude: int, negative: bool
) -> None:
    """A float32 number goes to the nearest stored one, in a tie to the one with even bits."""
    value = np.array([magnitude | (int(negative) << 31)], np.uint32).view(np.float32)
    (got,), finite = narrowed(value, dtype)
    size = abs(Fraction(float(value[0])))
    infinity = (2 ** EXPONENT[dtype] - 1) << FRACTION[dtype]
    low, high = 0, infinity
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if exact(middle, dtype) <= size else (low, middle)
    down, up = size - exact(low, dtype), exact(high, dtype) - size
    nearest = low if down < up or (down == up and low % 2 == 0) else high
    assert finite == (nearest < infinity)
    if finite:
        assert int(got) == nearest | (int(negative) << 15)


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
def test_all_numbers_widen_to_their_value_and_back(dtype: str) -> None:
    """Every finite 16-bit number, denormals and both zeros included, survives the round trip."""
    bits = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
    infinity = (2 ** EXPONENT[dtype] - 1) << FRACTION[dtype]
    bits = bits[(bits & 0x7FFF) < infinity]
    values, finite = widened(bits, dtype)
    assert finite
    signs = np.where(bits & 0x8000, -1, 1)
    for index in range(0, bits.size, 37):
        expected = int(signs[index]) * exact(int(bits[index]) & 0x7FFF, dtype)
        assert Fraction(float(values[index])) == expected
    back, finite = narrowed(values, dtype)
    assert finite
    assert np.array_equal(back, bits)


def test_float16_agrees_with_numpy_everywhere() -> None:
    """Every float16 number, and every midpoint between two, is rounded as NumPy does."""
    midpoints = np.arange(0, 0x477F_F000, 0x1000, dtype=np.uint32).view(np.float32)
    values = np.concatenate([midpoints, np.nextafter(midpoints, 0), -midpoints])
    got, finite = narrowed(values, "F16")
    assert finite
    assert np.array_equal(got, values.astype(np.float16).view(np.uint16))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 511, 512, 1036])
def test_what_is_not_finite_is_found(dtype: str, bad: float, place: int) -> None:
    """One NaN or infinity among finite numbers is seen, in inputs and in results."""
    values = np.linspace(-1, 1, 1037, dtype=np.float32)
    assert narrowed(values, dtype)[1]
    values[place] = bad
    assert not narrowed(values, dtype)[1]
    wide = {"BF16": values.view(np.uint32) >> 16, "F16": values.astype(np.float16), "F32": values}
    stored = np.ascontiguousarray(wide[dtype].astype(np.uint16) if dtype == "BF16" else wide[dtype])
    assert not widened(stored.view(np.uint32 if dtype == "F32" else np.uint16), dtype)[1]


def test_nan_of_any_bits_is_found() -> None:
    """A NaN whose bits overflow when rounded up does not pass for a number."""
    for bits in (0xFFFF_FFFF, 0x7FFF_FFFF, 0x7F80_0001):
        value = np.array([bits], np.uint32).view(np.float32)
        assert not any(narrowed(value, dtype)[1] for dtype in TYPES)


@pytest.mark.parametrize(("dtype", "large"), [("BF16", 3.4e38), ("F16", 65520.0)])
def test_what_does_not_fit_is_found(dtype: str, large: float) -> None:
    """A finite float32 number beyond the stored type's largest one is not finite there."""
    assert not narrowed(np.array([0, -large], np.float32), dtype)[1]
    assert narrowed(np.array([0, -large * 0.99], np.float32), dtype)[1]


def test_float32_may_be_widened_in_place() -> None:
    """Reading float32 into its own memory changes nothing."""
    values = np.array([1.5, -0.0, 1e-45], np.float32)
    before = values.tobytes()
    assert widen_into(values.view(np.uint8), "F32", values)
    assert values.tobytes() == before


def test_bfloat16_tensors_are_subtracted_in_float32() -> None:
    """A difference of stored numbers has the bits of widening both and subtracting."""
    stored = np.random.default_rng(2).integers(0, 0x7F80, (2, 3001)).astype(np.uint16)
    stored[:, ::2] |= 0x8000
    wide = (stored.astype(np.uint32) << 16).view(np.float32)
    out = np.empty(3001, np.float32)
    subtract_bfloat16(stored[0], stored[1], out)
    with np.errstate(over="ignore"):
        assert np.array_equal(out, wide[0] - wide[1])


@pytest.mark.parametrize("bad", [0x7F80, 0xFF80, 0x7F81, 0xFFFF])
def test_one_number_that_is_not_finite_is_noticed(bad: int) -> None:
    """Infinities and NaN of both signs are seen wherever they are; the largest number is fine."""
    stored = np.full(1000, 0xFF7F, np.uint16)
    assert finite_bfloat16(stored)
    stored[777] = bad
    assert not finite_bfloat16(stored)
