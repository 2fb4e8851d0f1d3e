"""Fronts agree with the definition, and areas with counting cells."""

import numpy as np
import pytest

from mixmerge.stats.pareto import hypervolume, non_dominated, probability_non_dominated


def test_front_by_definition() -> None:
    """A point is on the front unless another is as good everywhere and better somewhere."""
    points = np.random.default_rng(0).integers(0, 6, size=(40, 2)).astype(float)
    expected = [
        not any((q >= p).all() and (q > p).any() for q in points.tolist() and points)
        for p in points
    ]
    assert non_dominated(points).tolist() == expected
    assert 1 < sum(expected) < 40


def test_equal_points_are_both_on_the_front() -> None:
    """A copy of a model does not push it off the front."""
    assert non_dominated(np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 2.0]])).all()


def test_probability_is_the_share_of_draws() -> None:
    """A model that is beaten in one of four draws is non-dominated with probability 3/4."""
    draws = np.array([[[1.0, 1.0], [0.0, 2.0]]] * 3 + [[[1.0, 1.0], [2.0, 2.0]]])
    assert probability_non_dominated(draws).tolist() == [0.75, 1.0]


def test_hypervolume_counts_the_covered_cells() -> None:
    """On integer points the area is the number of unit cells below some point."""
    points = np.random.default_rng(1).integers(0, 12, size=(15, 2)).astype(float)
    cells = sum(
        bool(((points[:, 0] > x) & (points[:, 1] > y)).any())
        for x in range(2, 12)
        for y in range(3, 12)
    )
    assert hypervolume(points, (2.0, 3.0)) == pytest.approx(cells)


def test_nothing_above_the_reference_has_no_area() -> None:
    """Points that do not exceed the reference on both axes add nothing."""
    assert hypervolume(np.array([[0.5, 9.0], [9.0, 0.5]]), (1.0, 1.0)) == 0


def test_draws_are_measured_at_once() -> None:
    """A stack of sets has the areas and the shares that each set has alone."""
    draws = np.random.default_rng(2).random((3000, 8, 2))
    areas = hypervolume(draws, (0.2, 0.1))
    assert areas[:20] == pytest.approx([float(hypervolume(d, (0.2, 0.1))) for d in draws[:20]])
    shares = probability_non_dominated(draws)
    assert shares == pytest.approx(np.mean([non_dominated(d) for d in draws], axis=0))
