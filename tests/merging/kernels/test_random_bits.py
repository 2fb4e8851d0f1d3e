"""Random bits: known answers, independence of everything but the key, and statistics."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixmerge.merging.kernels.random_bits import philox, random_bits, seed_of_stage, stream


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
