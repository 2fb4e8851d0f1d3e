"""Differences between models are counted in units in the last place."""

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.difference import difference, draws, load, same_rate
from safetensors.torch import save_file


def test_neighbours_are_one_unit_apart() -> None:
    """The next float32 number is one unit away, at any magnitude."""
    values = np.array([1.5e-30, 0.3, 1.25, 7e20], np.float32)
    nearby = np.nextafter(values, np.float32(np.inf))
    found = difference({"w": values}, {"w": nearby}, [])
    assert found.ulp == 1.0
    assert found.same_tensors
    assert found.far == 0


def test_units_are_those_of_the_largest_operand() -> None:
    """Where inputs cancel, the difference is measured against the inputs, not the small result."""
    one, other = np.array([2.0**-20], np.float32), np.array([0.0], np.float32)
    assert difference({"w": one}, {"w": other}, [{"w": np.array([1.0], np.float32)}]).ulp == 8.0


def test_the_relative_difference_counts_from_the_first_input() -> None:
    """The largest difference is divided by the root mean square of what the merge changed."""
    base = {"w": np.zeros(4, np.float32)}
    reference = {"w": np.array([3, 3, -3, 3], np.float32)}
    result = {"w": np.array([3, 3, -3, 3.75], np.float32)}
    assert difference(reference, result, [base]).relative == 0.25


def test_other_decisions_are_counted() -> None:
    """Elements far apart are counted one by one."""
    reference = np.ones(5, np.float32)
    result = reference.copy()
    result[[1, 3]] = 2.0
    assert difference({"w": reference}, {"w": result}, []).far == 2


def test_tensors_of_one_side_are_named_by_number() -> None:
    """Missing, additional and reshaped tensors are counted and not compared."""
    reference = {"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)}
    result = {"b": np.ones(3, np.float32), "c": np.ones(2, np.float32), "d": np.ones(2, np.float32)}
    found = difference(reference, result, [])
    assert (found.missing, found.extra, found.reshaped) == (1, 2, 1)
    assert not found.same_tensors


def test_draws_count_what_was_kept() -> None:
    """Kept elements are those that differ from the base; the size is a mean square over all."""
    base = {"a": np.zeros(3, np.float32), "b": np.ones(1, np.float32)}
    found = draws(base, {"a": np.array([2, 0, 0], np.float32), "b": np.ones(1, np.float32)})
    assert (found.elements, found.kept, found.square) == (4, 1, 1.0)


def test_rates_of_independent_draws_differ_by_few_standard_errors() -> None:
    """The gap of two binomial draws is about one standard error; a wrong rate stands out."""
    rng = np.random.default_rng(0)
    zeros = {"w": np.zeros(2_000, np.float32)}

    def drawn(rate: float) -> float:
        kept = rng.random(2_000) < rate
        return float(same_rate(draws(zeros, {"w": kept.astype(np.float32)}), fixed))

    fixed = draws(zeros, {"w": (rng.random(2_000) < 0.5).astype(np.float32)})
    gaps = [drawn(0.5) for _ in range(300)]
    # One side is fixed, so the gap varies with half of the variance.
    assert np.std(gaps) == pytest.approx(0.5**0.5, rel=0.15)
    assert drawn(0.7) > 8


def test_shards_are_read_together_as_float32(tmp_path: Path) -> None:
    """Every weight file of a folder is read, and bfloat16 becomes float32 exactly."""
    save_file({"a": torch.tensor([1.5, -2.0], dtype=torch.bfloat16)}, tmp_path / "m-1.safetensors")
    save_file({"b": torch.tensor([0.1])}, tmp_path / "m-2.safetensors")
    loaded = load(tmp_path)
    np.testing.assert_array_equal(loaded["a"], np.array([1.5, -2.0], np.float32))
    np.testing.assert_array_equal(loaded["b"], np.array([0.1], np.float32))
