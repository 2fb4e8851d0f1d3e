"""Fronts agree with the definition, and volumes with counting cells."""

import itertools

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


@pytest.mark.parametrize("axes", [1, 2, 3, 4, 5])
def test_hypervolume_counts_the_covered_cells(axes: int) -> None:
    """On integer points the volume is the number of unit cells below some point."""
    points = np.random.default_rng(axes).integers(1, 8, size=(15, axes)).astype(float)
    corner = (2.0, 3.0, 1.0, 0.0, 0.0)[:axes]
    cells = sum(
        bool((points > cell).all(axis=1).any())
        for cell in itertools.product(*(range(int(low), 8) for low in corner))
    )
    assert cells > 0
    assert hypervolume(points, corner) == pytest.approx(cells)


@pytest.mark.parametrize("axes", [1, 2, 3, 4, 5])
def test_hypervolume_is_that_of_a_union_of_boxes(axes: int) -> None:
    """Inclusion and exclusion of the boxes between corner and points gives the same volume."""
    points = np.random.default_rng(10 + axes).normal(0.4, 0.4, size=(7, axes))
    corner = np.full(axes, 0.1)
    boxes = np.maximum(points - corner, 0)
    expected = sum(
        (-1) ** (size + 1) * float(np.prod(np.min(chosen, axis=0)))
        for size in range(1, len(boxes) + 1)
        for chosen in itertools.combinations(boxes, size)
    )
    assert expected > 0
    assert hypervolume(points, corner.tolist()) == pytest.approx(expected)


@pytest.mark.parametrize("axes", [1, 2, 3, 4])
def test_dominated_points_and_copies_add_no_volume(axes: int) -> None:
    """Neither order nor what lies below other points changes the volume."""
    rng = np.random.default_rng(20 + axes)
    points, corner = rng.random((6, axes)), (0.0,) * axes
    more = np.concatenate([points, points[:2], points * 0.9])
    expected = hypervolume(points, corner)
    assert hypervolume(rng.permutation(more), corner) == pytest.approx(expected)


def test_nothing_above_the_reference_has_no_area() -> None:
    """Points that do not exceed the reference on both axes add nothing."""
    assert hypervolume(np.array([[0.5, 9.0], [9.0, 0.5]]), (1.0, 1.0)) == 0
    assert hypervolume(np.array([[9.0, 9.0, 1.0], [0.0, 9.0, 9.0]]), (1.0, 1.0, 1.0)) == 0


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_draws_are_measured_at_once(axes: int) -> None:
    """A stack of sets has the volumes and the shares that each set has alone."""
    draws = np.random.default_rng(2).random((3000, 8, axes))
    corner = (0.2, 0.1, 0.3)[:axes]
    volumes = hypervolume(draws, corner)
    assert volumes[:20] == pytest.approx([float(hypervolume(d, corner)) for d in draws[:20]])
    shares = probability_non_dominated(draws)
    assert shares == pytest.approx(np.mean([non_dominated(d) for d in draws], axis=0))


@pytest.mark.parametrize(
    ("points", "value"),
    [
        ([[0.9], [0.6], [0.1]], 0.9),
        ([[0.9, 0.1], [0.6, 0.6], [0.1, 0.9]], 0.09 + 0.5 * 0.6 + 0.3 * 0.1),
        ([[0.9, 0.1, 0.5], [0.1, 0.9, 0.5]], 0.5 * (0.09 + 0.09 - 0.01)),
    ],
)
def test_volume_of_models_far_apart_is_the_bootstraps(
    points: list[list[float]], value: float
) -> None:
    """Where the front is clear, the interval is that of the draws; t makes it a little wider."""
    told, corner = np.array(points), (0.0,) * len(points[0])
    draws = told + np.random.default_rng(3).normal(0, 0.01, size=(4000, *told.shape))
    estimate = front_volume(told, draws, corner, clusters=200)
    assert estimate.value == pytest.approx(value)
    volumes = hypervolume(draws, corner)
    assert estimate.offered == pytest.approx(np.quantile(volumes, [0.025, 0.975]), abs=1e-3)


def test_volume_of_equal_models_has_no_interval() -> None:
    """The best of eight equal models looks better than any is: the reason has both numbers."""
    rng = np.random.default_rng(4)
    points = np.full((8, 2), 0.5)
    estimate = front_volume(
        points, points + rng.normal(0, 0.05, size=(2000, 8, 2)), (0.0, 0.0), clusters=50
    )
    assert estimate.offered is None
    assert "too close to one another: the volume of the best is biased by 0.0" in estimate.absent


def test_volume_of_models_that_never_vary_has_no_interval() -> None:
    """Where every draw has the same volume there is nothing to make an interval from."""
    points = np.array([[0.0, 0.7]])
    estimate = front_volume(points, np.tile(points, (100, 1, 1)), (0.0, 0.0), clusters=50)
    assert (estimate.value, estimate.offered) == (0, None)
    assert "none is better than the worst corner" in estimate.absent
