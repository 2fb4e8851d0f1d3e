"""Fronts agree with the definition, and areas with counting cells."""

import numpy as np
import pytest

from mixmerge.stats.pareto import (
    front_volume,
    hypervolume,
    non_dominated,
    probability_non_dominated,
)


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


def test_area_of_models_far_apart_is_the_bootstraps() -> None:
    """Where the front is clear, the interval is that of the draws; t makes it a little wider."""
    rng = np.random.default_rng(3)
    points = np.array([[0.9, 0.1], [0.6, 0.6], [0.1, 0.9]])
    draws = points + rng.normal(0, 0.01, size=(4000, 3, 2))
    estimate = front_volume(points, draws, (0.0, 0.0), clusters=200)
    assert estimate.value == pytest.approx(0.09 + 0.5 * 0.6 + 0.3 * 0.1)
    areas = hypervolume(draws, (0.0, 0.0))
    assert estimate.offered == pytest.approx(np.quantile(areas, [0.025, 0.975]), abs=1e-3)


def test_area_of_equal_models_has_no_interval() -> None:
    """The best of eight equal models looks better than any is: the reason has both numbers."""
    rng = np.random.default_rng(4)
    points = np.full((8, 2), 0.5)
    estimate = front_volume(
        points, points + rng.normal(0, 0.05, size=(2000, 8, 2)), (0.0, 0.0), clusters=50
    )
    assert estimate.offered is None
    assert "too close to one another: the area of the best is biased by 0.0" in estimate.absent


def test_area_beyond_a_base_that_may_be_harmless_has_no_interval() -> None:
    """Draws in which the base model is never harmful leave no interval."""
    draws = np.random.default_rng(5).random((100, 2, 2))
    draws[3, 0, 1] = np.nan
    estimate = front_volume(np.full((2, 2), 0.5), draws, (0.0, 0.0), clusters=50)
    assert "its rate may be zero" in estimate.absent
