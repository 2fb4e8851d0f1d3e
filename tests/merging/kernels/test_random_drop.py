"""Random bits against a reference, and what is dropped by them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixmerge.merging.kernels.random_drop import (
    keep_by_rank,
    keep_random,
    philox,
    random_bits,
    seed_of_stage,
    stream,
)
from mixmerge.merging.methods.ties import how_many


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xA4093822, 0x299F31D0],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_the_generator_gives_the_known_answers(
    counter: list[int], key: list[int], answer: list[int]
) -> None:
    """Philox 4x32-10 gives what its authors publish as known answers."""
    out = np.empty(4, np.uint32)
    words = np.array([*key, *counter[2:]], np.uint32)
    philox(words, counter[0] | counter[1] << 32, out)
    assert out.tolist() == answer


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**33), st.integers(0, 40))
def test_bits_may_be_drawn_from_anywhere(start: int, count: int) -> None:
    """Each element has its bits, wherever a piece begins and however long it is."""
    words = stream(1, 0, "w")
    one_by_one = [int(random_bits(words, start + i, 1)[0]) for i in range(count)]
    assert random_bits(words, start, count).tolist() == one_by_one


def test_each_part_of_the_key_gives_another_stream() -> None:
    """Another seed, model or tensor gives other bits; the same gives the same."""
    bits = random_bits(stream(1, 0, "a"), 0, 8).tolist()
    assert random_bits(stream(1, 0, "a"), 0, 8).tolist() == bits
    for other in (stream(2, 0, "a"), stream(1, 1, "a"), stream(1, 0, "b"), stream(11, 0, "a")):
        assert not set(random_bits(other, 0, 8).tolist()) & set(bits)


def test_each_stage_draws_other_bits() -> None:
    """The result draws those of the seed itself, as a merge without stages does."""
    assert seed_of_stage(3, "") == 3
    seeds = {seed_of_stage(seed, stage) for seed in (0, 1) for stage in ("", "thin", "0")}
    assert len(seeds) == 6


def test_bits_are_even_and_uncorrelated() -> None:
    """Mean, variance and correlations are those of independent numbers, within five errors.

    Correlated with each other are models, tensors, seeds, and neighbours in one stream.
    """
    size = 200_000
    keys = [(0, 0, "w"), (0, 1, "w"), (0, 0, "v"), (1, 0, "w")]
    draws = [random_bits(stream(*key), 0, size) / 2.0**32 for key in keys]
    for draw in draws:
        assert abs(draw.mean() - 0.5) < 5 * math.sqrt(1 / 12 / size)
        assert abs(draw.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / size)
    pairs = [*((draws[0], other) for other in draws[1:]), (draws[0][:-1], draws[0][1:])]
    for x, y in pairs:
        assert abs(np.corrcoef(x, y)[0, 1]) < 5 / math.sqrt(size)


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
