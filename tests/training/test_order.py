"""The order in which steps read rows."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mixmerge.training.plan import row_order, sorted_within_steps

sizes = st.integers(min_value=1, max_value=40)


@given(rows=sizes, batch=sizes, steps=sizes, seed=st.integers(0, 9))
def test_every_pass_holds_every_row(rows: int, batch: int, steps: int, seed: int) -> None:
    """No row is read a second time more often than another before all were read once more."""
    order = row_order(rows, batch, steps, seed)
    assert order.shape == (steps, batch)
    flat = order.ravel()
    for start in range(0, len(flat), rows):
        one_pass = flat[start : start + rows]
        assert len(set(one_pass.tolist())) == len(one_pass)


def test_the_seed_decides() -> None:
    """The same seed gives the same order, another seed another, and passes differ."""
    order = row_order(50, 10, 10, seed=1)
    assert np.array_equal(order, row_order(50, 10, 10, seed=1))
    assert not np.array_equal(order, row_order(50, 10, 10, seed=2))
    assert not np.array_equal(order[:5], order[5:])


@given(rows=sizes, batch=sizes, seed=st.integers(0, 9))
def test_sorting_moves_rows_only_inside_a_step(rows: int, batch: int, seed: int) -> None:
    """Each step keeps its rows, longest first."""
    order = row_order(rows, batch, 3, seed)
    lengths = np.random.default_rng(seed).integers(1, 5, rows)
    by_length = sorted_within_steps(order, lengths)
    for before, after in zip(order, by_length, strict=True):
        assert Counter(before.tolist()) == Counter(after.tolist())
        assert (np.diff(lengths[after]) <= 0).all()
