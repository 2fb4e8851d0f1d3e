"""Tests of mixmerge.stats.drawn: what is drawn has the moments that were asked for."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.drawn import Judged, Resampled, Stated, Stratum


def totals(model: Stated | Resampled, difference: float, studies: int = 40) -> Floats:
    """Sums of differences by cluster, shape (clusters, studies)."""
    return np.hstack([s.totals for s in model.samples(difference, studies, [0])])


@pytest.mark.parametrize("within", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("difference", [-0.2, 0.0, 0.1])
def test_stated_moments(within: float, difference: float) -> None:
    """Mean, variance and correlation within clusters are those of the stated numbers."""
    model = Stated(np.full(1500, 4), 0.4, 0.6, within)
    found = totals(model, difference)
    a, b = 0.4 + difference, 0.4
    covariance = 0.6 * np.sqrt(a * (1 - a) * b * (1 - b))
    variance = a * (1 - a) + b * (1 - b) - 2 * covariance
    assert found.mean() / 4 == pytest.approx(difference, abs=0.01)
    assert found.var() == pytest.approx(4 * variance * (1 + 3 * within), rel=0.05)


def test_a_judge_that_errs_shows_less_and_adds_noise() -> None:
    """Judged differences have the moments of true scores that are then judged one by one."""
    judge = Judged(0.9, 0.8)
    model = Stated(np.full(2000, 3), 0.5, 0.5, 0.5, judge)
    found = totals(model, 0.2)
    rng = np.random.default_rng(5)
    shape = (200_000, 3)
    # Truth by its own route: both models' scores on a prompt from their joint distribution.
    both = 0.7 * 0.5 + 0.5 * np.sqrt(0.7 * 0.3 * 0.25)
    edges = np.cumsum([both, 0.7 - both, 0.5 - both])
    own = rng.random(shape) < np.sqrt(0.5)
    place = np.searchsorted(edges, np.where(own, rng.random((shape[0], 1)), rng.random(shape)))
    a, b = np.isin(place, (0, 1)), np.isin(place, (0, 2))

    def judged(truth: NDArray[np.bool_]) -> Floats:
        return (rng.random(shape) < np.where(truth, 0.9, 0.2)).astype(float)

    expected = (judged(a) - judged(b)).sum(axis=1)
    assert found.mean() / 3 == pytest.approx(0.2 * judge.youden, abs=0.01)
    assert found.mean() == pytest.approx(expected.mean(), abs=0.02)
    assert found.var() == pytest.approx(expected.var(), rel=0.04)


def test_a_fixed_second_model() -> None:
    """Win rates against the base model differ from one half by one half, either way."""
    model = Stated(np.full(500, 1), 0.5, 0.5, 0.0, fixed=0.5)
    found = totals(model, 0.1)
    assert set(np.unique(found)) == {-0.5, 0.5}
    assert found.mean() == pytest.approx(0.1, abs=0.02)
    assert model.reach == (-0.5, 0.5)


@pytest.mark.parametrize("graded", [False, True])
def test_a_pilot_is_shifted_to_any_mean_within_its_range(graded: bool) -> None:
    """Resampled scores stay in their range and have the wanted mean, in the study's proportions."""
    rng = np.random.default_rng(1)
    values = rng.random((60, 2, 2)) if graded else rng.integers(0, 3, (60, 2, 2)) / 2
    one = Stratum(values[:30, :, 0], values[:30, :, 1], planned=100)
    other = Stratum(values[30:, :1, 0], values[30:, :1, 1], planned=300)
    model = Resampled((one, other), graded)
    low, high = model.reach
    assert model.clusters == 400
    for difference in (0.9 * low, 0.0, 0.1, 0.9 * high):
        found = list(model.samples(difference, 40, [3]))
        mean = np.mean([s.totals.sum(axis=0) / s.sizes.sum(axis=0) for s in found])
        assert mean == pytest.approx(difference, abs=0.02)
        assert all(np.all(np.abs(s.totals) <= s.sizes) for s in found)
    assert found[0].sizes.sum(axis=0)[0] == 500


def test_missing_verdicts_stay_missing() -> None:
    """A prompt without a verdict in the pilot has none where it is drawn."""
    first = np.array([[1.0, np.nan], [0.0, 1.0]] * 6)
    model = Resampled((Stratum(first, np.zeros_like(first), 50),), graded=False)
    (sample,) = model.samples(0.5, 20, [0])
    assert set(np.unique(sample.sizes)) == {1.0, 2.0}


@pytest.mark.parametrize(
    "model",
    [
        Stated(np.array([1, 2, 5] * 20), 0.3, 0.5, 0.3),
        Resampled((Stratum(np.eye(12), np.eye(12)[::-1], 30),), graded=False),
    ],
    ids=["stated", "pilot"],
)
def test_random_numbers_are_common(model: Stated | Resampled) -> None:
    """The same seed gives the same bytes, and no study finds less where the truth is more."""
    few, same, many = (totals(model, d).sum(axis=0) for d in (0.02, 0.02, 0.08))
    assert few.tobytes() == same.tobytes()
    assert (many >= few).all()


def test_another_size_keeps_the_proportions() -> None:
    """A larger study has clusters of the same sizes, or languages, in the same proportions."""
    larger = Stated(np.array([1] * 10 + [3] * 30), 0.5, 0.5, 0.0).resized(80)
    assert np.bincount(larger.sizes).tolist() == [0, 20, 0, 60]
    strata = tuple(Stratum(np.zeros((5, k)), np.ones((5, k)), 10 * k) for k in (1, 3))
    assert [s.planned for s in Resampled(strata, False).resized(80).strata] == [20, 60]
