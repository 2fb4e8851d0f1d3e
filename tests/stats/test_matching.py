"""Two ways of making models at one level of an axis."""

import numpy as np
import pytest

from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.matching import at_level, matched_difference


def test_a_path_is_read_off_where_it_crosses_the_level() -> None:
    """A monotone path is interpolated as numpy does it, from either end."""
    path, values = np.array([0.9, 0.7, 0.4, 0.1]), np.array([0.6, 0.55, 0.5, 0.2])
    for level in (0.9, 0.8, 0.7, 0.33, 0.1):
        expected = np.interp(level, path[::-1], values[::-1])
        assert at_level(path, np.array(level), values) == pytest.approx(expected)
        assert at_level(path[::-1], np.array(level), values[::-1]) == pytest.approx(expected)


def test_several_crossings_are_averaged_and_none_is_nan() -> None:
    """A path that comes back counts every crossing; one that stays on a side has no value."""
    path, values = np.array([0.2, 0.6, 0.2]), np.array([1.0, 0.0, 0.5])
    assert at_level(path, np.array(0.4), values) == pytest.approx((0.5 + 0.25) / 2)
    assert np.isnan(at_level(path, np.array(0.7), values))
    flat = np.array([0.4, 0.4])
    assert at_level(flat, np.array(0.4), np.array([0.0, 1.0])) == pytest.approx(0.5)


def test_stacks_of_paths_are_read_at_once() -> None:
    """Every set of a stack has the value that it has alone."""
    rng = np.random.default_rng(0)
    paths, levels, values = rng.random((200, 5)), rng.random(200), rng.random((200, 5))
    alone = [
        at_level(path, np.array(level), own)
        for path, level, own in zip(paths, levels, values, strict=True)
    ]
    assert at_level(paths, levels, values) == pytest.approx(np.array(alone), nan_ok=True)


def _study(rng: np.random.Generator, clusters: int) -> tuple[list[Floats], list[Floats]]:
    """Draw answers of a path of five models and one more on two axes; return means and draws."""
    truth = [
        [*np.linspace(0.8, 0.1, 5), 0.35],
        [*np.linspace(0.6, 0.3, 5), 0.45],
    ]
    points, draws = [], []
    for rates in truth:
        ease = rng.normal(0, 0.15, (clusters, 1))
        rows = rng.random((clusters, 6)) < np.clip(np.array(rates) + ease, 0, 1)
        taken = rng.integers(clusters, size=(400, clusters))
        points.append(rows.mean(axis=0))
        draws.append(rows[taken].mean(axis=1))
    return points, draws


def test_intervals_of_matched_differences_hold() -> None:
    """About 95 % of the intervals of simulated studies hold the true difference."""
    rng, held = np.random.default_rng(1), []
    truth = np.interp(0.35, np.linspace(0.1, 0.8, 5), np.linspace(0.3, 0.6, 5)) - 0.45
    for _ in range(400):
        points, draws = _study(rng, 150)
        found = matched_difference((points[0], points[1]), (draws[0], draws[1]), 150)
        assert found.offered is not None
        held.append(found.low <= truth <= found.high)
    assert 0.92 <= np.mean(held) <= 0.98


@pytest.mark.parametrize(
    ("level", "absent"),
    [
        (0.95, "no two neighbouring points of the sweep have the level between them"),
        (0.79, "the sweep reaches the level in"),
    ],
)
def test_a_level_that_is_not_reached_has_no_interval(level: float, absent: str) -> None:
    """Beyond the ends nothing is extrapolated; near one the draws say how often it is reached."""
    rng = np.random.default_rng(2)
    points = np.array([0.8, 0.4, 0.1, level]), np.array([0.6, 0.5, 0.3, 0.5])
    draws = [each + rng.normal(0, 0.03, (500, 4)) for each in points]
    found = matched_difference(points, (draws[0], draws[1]), 100)
    assert found.offered is None
    assert absent in found.absent
