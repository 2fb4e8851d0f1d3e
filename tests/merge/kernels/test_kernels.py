"""Reductions, selection and random bits against slow and obvious versions."""

import hashlib
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixmerge.merge.kernels.interpolate import cosine, slerp
from mixmerge.merge.kernels.random_bits import random_bits
from mixmerge.merge.kernels.reductions import dot, norm, total_magnitude
from mixmerge.merge.kernels.sparsify import keep_largest, keep_random, restore_magnitude


def test_sums_are_those_of_exact_arithmetic() -> None:
    """Inner product, norm and L1 norm agree with rational arithmetic to float64 precision."""
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 300), dtype=np.float32) * np.float32(1e15)
    exact = sum(Fraction(float(x)) * Fraction(float(y)) for x, y in zip(a, b, strict=True))
    scale = float(np.abs(a.astype(np.float64) * b).sum())
    assert abs(dot(a, b) - float(exact)) <= 1e-14 * scale
    square = sum(Fraction(float(x)) ** 2 for x in a)
    assert norm(a) == pytest.approx(math.sqrt(float(square)), rel=1e-14)
    total = sum(abs(Fraction(float(x))) for x in a)
    assert total_magnitude(a) == pytest.approx(float(total), rel=1e-14)


def test_sums_over_many_tiles_count_each_element_once() -> None:
    """A tensor larger than a tile, with a rest, has the sum of its elements."""
    ones = np.ones((3, 70_001), np.float32)
    assert dot(ones, ones) == 210_003.0
    assert total_magnitude(-ones) == 210_003.0


def test_huge_numbers_have_finite_norms() -> None:
    """Squares of the largest float32 numbers do not overflow."""
    huge = np.full(1000, np.finfo(np.float32).max, np.float32)
    assert cosine(huge, huge) == pytest.approx(1.0, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(-4, 4), min_size=1, max_size=40),
    st.floats(0, 1, exclude_min=True, exclude_max=True),
)
def test_the_largest_are_kept_and_ties_go_by_position(values: list[int], density: float) -> None:
    """Kept are the first int(density n), at least one, of a stable sort by falling magnitude."""
    delta = np.array(values, np.float32)
    order = sorted(range(len(values)), key=lambda index: -abs(values[index]))
    kept = set(order[: max(1, int(density * len(values)))])
    expected = [value if index in kept else 0 for index, value in enumerate(values)]
    assert keep_largest(delta, density).tolist() == expected


def test_density_one_keeps_all_and_zero_nothing() -> None:
    """The ends of the range are exact."""
    delta = np.array([[1.0, -2.0]], np.float32)
    bits = np.array([0, 2**32 - 1], np.uint32)
    assert keep_largest(delta, 1.0).tolist() == [[1, -2]]
    assert keep_largest(delta, 0.0).tolist() == [[0, 0]]
    assert keep_random(delta, 1.0, bits).tolist() == [[1, -2]]
    assert keep_random(delta, 0.0, bits).tolist() == [[0, 0]]


def test_random_selection_has_the_asked_share() -> None:
    """Of a million elements the kept share is within five standard errors of the density."""
    ones = np.ones(1_000_000, np.float32)
    kept = keep_random(ones, 0.3, random_bits(0, 0, "w", ones.size)).mean(dtype=np.float64)
    assert abs(kept - 0.3) < 5 * math.sqrt(0.3 * 0.7 / ones.size)


def test_restored_magnitude_is_that_of_before() -> None:
    """The L1 norm comes back, and a tensor without any is left alone."""
    before = np.array([1.0, -2.0, 3.0], np.float32)
    after = np.array([0.0, -2.0, 0.0], np.float32)
    assert restore_magnitude(before, after).tolist() == [0.0, -6.0, 0.0]
    assert restore_magnitude(before, np.zeros(3, np.float32)).tolist() == [0.0, 0.0, 0.0]


def philox(counter: int, key: tuple[int, int]) -> list[int]:
    """Return one block of Philox 4x64-10 as Salmon et al. (2011) define it, in whole numbers."""
    mask = 2**64 - 1
    x, (low, high) = [counter, 0, 0, 0], key
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * x[0], 0xCA5A826395121157 * x[2]
        x = [(second >> 64) ^ x[1] ^ low, second & mask, (first >> 64) ^ x[3] ^ high, first & mask]
        low, high = (low + 0x9E3779B97F4A7C15) & mask, (high + 0xBB67AE8584CAA73B) & mask
    return x


def test_random_bits_are_those_of_the_definition() -> None:
    """The bits are the halves of Philox words, whose key is a hash of seed, model and tensor."""
    digest = hashlib.blake2b(b"1\x000\x00model.norm.weight", digest_size=16).digest()
    key = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
    words = [word for counter in (1, 2, 3) for word in philox(counter, key)]
    halves = [half for word in words for half in (word & 0xFFFFFFFF, word >> 32)]
    assert random_bits(1, 0, "model.norm.weight", 23).tolist() == halves[:23]


def test_random_bits_depend_on_each_part_of_the_key() -> None:
    """Another seed, model or tensor gives another stream; more elements continue the same one."""
    bits = random_bits(1, 0, "a", 8).tolist()
    others = [random_bits(2, 0, "a", 8), random_bits(1, 1, "a", 8), random_bits(1, 0, "b", 8)]
    assert all(bits != other.tolist() for other in others)
    assert random_bits(1, 0, "a", 5).tolist() == bits[:5]
    assert random_bits(1, 0, "a", 0).size == 0


def test_random_bits_are_even_and_uncorrelated_between_models() -> None:
    """The mean is one half and two models' draws have no correlation, within five errors."""
    x, y = (random_bits(0, model, "w", 200_000) / 2.0**32 for model in (0, 1))
    assert abs(x.mean() - 0.5) < 5 * math.sqrt(1 / 12 / x.size)
    assert abs(np.corrcoef(x, y)[0, 1]) < 5 / math.sqrt(x.size)


def test_slerp_between_perpendicular_tensors_keeps_the_norm() -> None:
    """Half way along a quarter circle both coordinates are the square root of one half."""
    a, b = np.array([[1.0, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32)
    half = slerp(a, b, 0.5, 0.9995)
    assert half.tolist() == [pytest.approx([math.sqrt(0.5)] * 2, abs=1e-7)]


@pytest.mark.parametrize("other", [1.0, -1.0], ids=["parallel", "opposite"])
def test_slerp_of_collinear_tensors_is_the_straight_line(other: float) -> None:
    """Where the angle has no direction the result is finite and linear, whatever the threshold."""
    a = np.array([1.0, 2.0], np.float32)
    for threshold in (0.9995, 1.0):
        assert (
            slerp(a, other * a, 0.25, threshold).tolist() == (0.75 * a + 0.25 * other * a).tolist()
        )
