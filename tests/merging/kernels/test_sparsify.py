"""Thinning out: exact ends, and the statistics of random draws."""

import math

import numpy as np
import pytest

from mixmerge.merging.kernels.random_bits import random_bits, stream
from mixmerge.merging.kernels.sparsify import how_many, keep_by_rank, keep_random, restoring_scale

SIZE = 400_000


@pytest.mark.parametrize(
    ("density", "count"), [(0.0, 0), (0.001, 1), (0.35, 3), (0.999, 9), (1.0, 10)]
)
def test_a_density_keeps_a_whole_number(density: float, count: int) -> None:
    """It is rounded down, but to no less than one element unless the density is zero."""
    assert how_many(density, 10) == count


@pytest.mark.parametrize("density", [0.01, 0.3, 0.9])
def test_the_kept_share_is_the_density(density: float) -> None:
    """The number of kept elements is binomial, and each model and tensor draws for itself."""
    kept = []
    for model, name in ((0, "w"), (1, "w"), (0, "v")):
        values = np.ones(SIZE, np.float32)
        keep_random(values, density, stream(0, model, name))
        kept.append(values)
    error = 5 * math.sqrt(density * (1 - density) / SIZE)
    for values in kept:
        assert abs(values.mean(dtype=np.float64) - density) < error
    for other in kept[1:]:
        both = (kept[0] * other).mean(dtype=np.float64)
        assert abs(both - density**2) < 5 * math.sqrt(density**2 / SIZE)


def test_the_ends_of_the_density_are_exact() -> None:
    """A density of 1 keeps everything, one of 0 nothing."""
    for density, expected in ((1.0, 3000), (0.0, 0)):
        values = np.ones(3000, np.float32)
        keep_random(values, density, stream(0, 0, "w"))
        assert values.sum() == expected


@pytest.mark.parametrize("start", [0, 1, 3, 4, 1022, 2**35 + 2])
@pytest.mark.parametrize("count", [1, 2, 511, 512, 513, 2000])
def test_an_element_is_kept_by_its_own_bits(start: int, count: int) -> None:
    """What is kept of any piece are the elements whose random bits are below the density."""
    words = stream(5, 1, "w")
    values = np.arange(1, count + 1, dtype=np.float32)
    keep_random(values, 0.4, words, start)
    drawn = random_bits(words, start, count) < int(0.4 * 2**32)
    assert np.array_equal(values, np.where(drawn, np.arange(1, count + 1), 0))


def test_the_chance_to_be_kept_rises_with_the_rank() -> None:
    """Over many rows, each rank is kept as often as its probability says."""
    rows, columns, density, epsilon = 20_000, 20, 0.5, 0.3
    rng = np.random.default_rng(0)
    ranks = rng.permuted(np.tile(np.arange(columns), (rows, 1)), axis=1)
    values = ((ranks + 1) * rng.choice([-1, 1], ranks.shape)).astype(np.float32)
    keep_by_rank(values, density, epsilon, random_bits(stream(0, 0, "w"), 0, values.size))
    for rank in range(columns):
        chance = density - epsilon + 2 * epsilon * rank / (columns - 1)
        share = np.count_nonzero(values[ranks == rank]) / rows
        assert abs(share - chance) < 5 * math.sqrt(chance * (1 - chance) / rows)


def test_of_equal_magnitudes_the_earlier_ranks_higher() -> None:
    """With a draw just above the middle, the earlier half of equal elements is kept."""
    values = np.full((2, 100), -1.0, np.float32)
    keep_by_rank(values, 0.5, 0.4, np.full(200, 2**31, np.uint32))
    assert np.flatnonzero(values[0]).tolist() == list(range(50))
    assert np.array_equal(values[0], values[1])


def test_a_row_of_one_element_has_the_mean_chance() -> None:
    """Where there is no rank, the density decides alone."""
    values = np.ones((3, 1), np.float32)
    keep_by_rank(values, 0.5, 0.4, np.array([2**31 - 1, 2**31, 2**31 + 1], np.uint32))
    assert values[:, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("before", "after", "scale"), [(6.0, 2.0, 3.0), (6.0, 0.0, 1.0), (5e-8, 1.0, 1.0)]
)
def test_the_norm_comes_back_where_there_is_one(before: float, after: float, scale: float) -> None:
    """The factor is the ratio of the norms, and 1 where one of them is all but zero."""
    assert restoring_scale(before, after) == scale
