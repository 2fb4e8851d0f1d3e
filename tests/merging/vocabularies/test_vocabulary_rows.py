"""Where rows come from when vocabularies differ, and how they are read."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixmerge.merging.kernels import Array
from mixmerge.merging.vocabularies.vocabulary_rows import ZERO, Donor, RowsSource, row_maps


@dataclass
class InMemory:
    """A tensor that remembers how often it was read."""

    values: Array
    name: str = "toy"
    dtype: str = "F32"
    by_row: bool = False

    def __post_init__(self) -> None:
        self.shape = self.values.shape

    def read(self, start: int, out: Array) -> None:
        out[:] = self.values.reshape(-1)[start : start + out.size]


def aligned(
    tokens: dict[str, int],
    rows: int,
    models: list[tuple[dict[str, int], Array]],
    base: int | None = None,
    given_rows: dict[int, Donor] | None = None,
) -> list[Array]:
    """Return every model's tensor in the output's order, read in one piece."""
    sources = tuple(InMemory(values) for _, values in models)
    known = [(ids, len(values)) for ids, values in models]
    result = []
    for number, rowmap in enumerate(row_maps(tokens, rows, known, base, given_rows or {})):
        source = RowsSource(sources, number, rowmap)
        out = np.full(source.shape, np.nan, np.float32)
        source.read(0, out.reshape(-1))
        result.append(out)
    return result


A = {"x": 0, "y": 1, "a": 2}, np.array([[1, 1], [2, 2], [3, 3]], np.float32)
B = {"y": 0, "x": 1, "b": 2}, np.array([[10, 10], [20, 20], [30, 30]], np.float32)
C = {"x": 0, "c": 1, "b": 2}, np.array([[100, 100], [200, 200], [400, 400]], np.float32)
UNION = {"x": 0, "y": 1, "a": 2, "b": 3, "c": 4}


def test_own_rows_come_first_and_single_owners_lend_theirs() -> None:
    """A model keeps what it has, and takes the row of the only model that has a token."""
    first, second = aligned({"x": 0, "y": 1, "a": 2, "b": 3}, 4, [A, B])
    assert first[:, 0].tolist() == [1, 2, 3, 30]
    assert second[:, 0].tolist() == [20, 10, 3, 30]


def test_several_owners_lend_their_mean_unless_the_base_is_one() -> None:
    """What two of three know is their mean for the third, or the row of the base that knows it."""
    without, *_ = aligned(UNION, 5, [A, B, C])
    assert without[:, 0].tolist() == [1, 2, 3, (30 + 400) / 2, 200]
    with_base, *_ = aligned(UNION, 5, [A, B, C], base=2)
    assert with_base[:, 0].tolist() == [1, 2, 3, 400, 200]
    base_lacks_it, *_ = aligned(UNION, 5, [A, B, C], base=0)
    assert base_lacks_it[:, 0].tolist() == without[:, 0].tolist()


def test_a_token_of_nobody_is_zero() -> None:
    """What no model knows gets zeros, also where a model's tokenizer knows more than its rows."""
    short = {"x": 0, "far": 7}, np.ones((2, 2), np.float32)
    first, second = aligned({"x": 0, "far": 1, "new": 2}, 3, [short, B])
    assert first.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert second.tolist() == [[20, 20], [0, 0], [0, 0]]


def test_given_rows_go_to_those_that_lack_a_token_or_to_all() -> None:
    """The recipe's row is before every default, and before own rows where it is forced."""
    rules = {2: Donor(1, 0, force=False), 1: Donor(0, 0, force=True), 0: Donor(ZERO, 0, force=True)}
    first, second = aligned({"x": 0, "y": 1, "a": 2}, 3, [A, B], given_rows=rules)
    assert first[:, 0].tolist() == [0, 1, 3]
    assert second[:, 0].tolist() == [0, 1, 10]


def test_padding_is_the_mean_of_each_models_new_rows() -> None:
    """Rows without a token, in a gap of the ids as at the end, are the mean of all tokens'."""
    (first,) = aligned({"x": 0, "y": 2}, 4, [A])
    assert first[:, 0].tolist() == [1, 1.5, 2, 1.5]


def test_a_bias_is_aligned_like_a_matrix() -> None:
    """A head's bias has one element for each token."""
    bias = A[0], np.array([1, 2, 3], np.float32)
    (only,) = aligned({"a": 0, "x": 1}, 4, [bias])
    assert only.tolist() == [3, 1, 2, 2]


def test_a_model_that_stays_as_it_is_is_recognised() -> None:
    """Only the same rows in the same order and number are kept as they are."""
    (same,) = row_maps(A[0], 3, [(A[0], 3)], None, {})
    assert same.keeps(0, 3)
    assert not same.keeps(0, 4)
    assert not same.keeps(1, 3)
    (padded,) = row_maps(A[0], 4, [(A[0], 4)], None, {})
    assert not padded.keeps(0, 4)
    (swapped,) = row_maps(B[0] | {"a": 2}, 3, [(A[0], 3)], None, {})
    assert not swapped.keeps(0, 3)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_pieces_are_the_whole(data: st.DataObject) -> None:
    """Any cut of the rows into pieces reads the same as a loop over tokens does in Python."""
    words = [f"t{number}" for number in range(12)]
    models = []
    for seed in range(data.draw(st.integers(1, 3))):
        known = data.draw(st.lists(st.sampled_from(words), unique=True, min_size=1))
        values = np.random.default_rng(seed).standard_normal((len(known), 3), np.float32)
        models.append(({word: number for number, word in enumerate(known)}, values))
    order = data.draw(st.permutations(words))
    tokens = {word: number for number, word in enumerate(order)}
    base = data.draw(st.none() | st.integers(0, len(models) - 1))
    maps = row_maps(tokens, 14, [(ids, len(values)) for ids, values in models], base, {})
    cut = data.draw(st.integers(1, 13))
    for number, (ids, values) in enumerate(models):
        source = RowsSource(tuple(InMemory(other) for _, other in models), number, maps[number])
        pieces = [np.empty(cut * 3, np.float32), np.empty((14 - cut) * 3, np.float32)]
        source.read(0, pieces[0])
        source.read(cut * 3, pieces[1])
        read = np.concatenate(pieces).reshape(14, 3)
        expected = [row_of(word, ids, values, models, base) for word in order]
        np.testing.assert_allclose(read[:12], expected, rtol=1e-6)
        np.testing.assert_allclose(read[12:], [np.mean(expected, axis=0)] * 2, rtol=1e-4, atol=1e-6)


def row_of(
    word: str,
    ids: dict[str, int],
    values: Array,
    models: list[tuple[dict[str, int], Array]],
    base: int | None,
) -> Array:
    """Return a token's row as the rules are written down."""
    if word in ids:
        return values[ids[word]]
    owners = [other[known[word]] for known, other in models if word in known]
    if base is not None and word in models[base][0]:
        return models[base][1][models[base][0][word]]
    return np.mean(owners, axis=0) if owners else np.zeros(3, np.float32)


@pytest.mark.parametrize("models", [1, 2])
def test_rows_are_read_in_runs(models: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that stay together cost one read, not one each."""
    count = 1000
    ids = {f"t{number}": number for number in range(count)}
    sources = tuple(InMemory(np.ones((count, 2), np.float32)) for _ in range(models))
    (rows, *_) = row_maps(ids, count + 8, [(ids, count)] * models, None, {})
    reads = []
    monkeypatch.setattr(InMemory, "read", lambda _, start, out: reads.append((start, out.size)))
    RowsSource(sources, 0, rows).read(0, np.empty(count * 2, np.float32))
    assert reads == [(0, count * 2)]
