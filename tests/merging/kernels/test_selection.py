"""Selecting the largest against sorting, on one tile and on many."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.merging.methods.arrays import ArraySource

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.selection import (
    HIGH,
    LOW,
    Cut,
    Difference,
    count_high,
    count_low,
    cut_of,
    values_of,
)
from mixmerge.merging.streaming import tensor as tensors
from mixmerge.merging.streaming.tensor import Tensor


def kept(values: Array, cut: Cut) -> set[int]:
    """Return which elements a cut keeps; ask it piece by piece."""
    chosen = []
    for start in range(0, values.size, 7):
        flags = np.ones(min(7, values.size - start), np.float32)
        cut.keep(flags, start, values[start : start + 7])
        chosen.append(flags)
    return set(np.flatnonzero(np.concatenate(chosen)).tolist())


def first(values: Array, count: int) -> set[int]:
    """Return the first elements of a stable sort by falling magnitude."""
    return set(np.argsort(-np.abs(values), kind="stable")[:count].tolist())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=40), st.integers(1, 40))
def test_of_equal_magnitudes_the_earlier_ones_are_kept(values: list[int], count: int) -> None:
    """Kept are the first of a stable sort, whatever ties there are."""
    keys = np.array(values, np.float32)
    count = min(count, keys.size)
    assert kept(keys, cut_of(keys, count)) == first(keys, count)


def test_what_is_dropped_is_what_would_be_kept() -> None:
    """`drop` leaves what `keep` takes away."""
    values = np.array([3, -1, 2, -2, 1, 2], np.float32)
    cut = cut_of(values, 3)
    above, below = values.copy(), values.copy()
    cut.keep(above, 0)
    cut.drop(below, 0)
    assert above.tolist() == [3, 0, 2, -2, 0, 0]
    assert below.tolist() == [0, -1, 0, 0, 1, 2]


KINDS = {
    "random": lambda rng, size: rng.standard_normal(size),
    "few values": lambda rng, size: rng.integers(-3, 4, size),
    "all equal": lambda _, size: np.full(size, -2.0),
    "zeros": lambda _, size: np.zeros(size),
    "close together": lambda rng, size: 1 + 1e-6 * rng.standard_normal(size),
    "denormal": lambda rng, size: 1e-42 * rng.standard_normal(size),
    "huge": lambda rng, size: 1e38 * rng.uniform(-1, 1, size),
}


@pytest.mark.parametrize("kind", KINDS)
def test_many_tiles_are_ranked_as_one(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A tensor of many chunks has the same cuts as one sort of all its elements."""
    monkeypatch.setattr(tensors, "TILE", 64)
    size = 64 * 8 * 5 + 17
    values = KINDS[kind](np.random.default_rng(0), size).astype(np.float32)
    counts = [0, 1, 2, 63, 64, 511, 512, 1500, size - 1, size, size + 5]
    with ThreadPoolExecutor(2) as pool:
        tensor = Tensor("w", [ArraySource("w", values)], parallel_map=pool.map)
        cuts = tensor.largest(lambda tile: [tile.models[0]] * len(counts), counts)
        ranks = [1, 64, size // 2, size]
        ranked = tensor.ranked(lambda tile: tile.models[0], ranks)
    for count, cut in zip(counts, cuts, strict=True):
        assert kept(values, cut) == first(values, count)
    ordered = np.sort(np.abs(values))[::-1]
    assert ranked == [ordered[rank - 1] for rank in ranks]


def test_chunks_change_no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many tiles are worked on together does not move a cut."""
    values = np.random.default_rng(0).integers(-9, 9, 5000).astype(np.float32)
    monkeypatch.setattr(tensors, "TILE", 64)
    cuts = set()
    for tiles in (1, 3, 8):
        monkeypatch.setattr(tensors, "_TILES_PER_CHUNK_OF_RANKS", tiles)
        tensor = Tensor("w", [ArraySource("w", values)])
        cuts |= set(tensor.largest(lambda tile: list(tile.models), [1234]))
    assert {frozenset(kept(values, cut)) for cut in cuts} == {frozenset(first(values, 1234))}


@pytest.mark.parametrize("size", [1, 511, 512, 1300])
def test_differences_are_counted_as_their_values(size: int) -> None:
    """Differences of stored numbers fall into the same bins as the array of their values."""
    bits = np.random.default_rng(3).integers(0x3F00, 0x3F40, (2, size)).astype(np.uint16)
    difference = Difference(*bits)
    values = values_of(difference)
    upper = int(np.abs(values[:1]).view(np.uint32)[0] >> 15)
    for bins, count in ((HIGH, count_high), (LOW, partial(count_low, high=upper))):
        expected, got = np.zeros(bins, np.int64), np.zeros(bins, np.int64)
        count(values, counts=expected)
        count(difference, counts=got)
        assert expected.sum() > 0
        assert np.array_equal(got, expected)
