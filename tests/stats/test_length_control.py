"""The length-controlled win rate agrees with a general optimiser and takes length's part away."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from mixmerge.stats.bootstrap import draw_clusters, expanded_level, percentile_interval
from mixmerge.stats.length_control import fit, length_controlled, length_feature

Floats = NDArray[np.float64]


def judged(
    quality: float, slope: float, clusters: int = 400, seed: int = 0
) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """Return scores, features and clusters of a judge with a taste for length."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), 3)
    feature = np.tanh(rng.normal(0.8, 1, size=3 * clusters))
    chance = expit(quality + slope * feature)
    tied = rng.random(3 * clusters) < 0.1
    scores = np.where(tied, 0.5, (rng.random(3 * clusters) < chance).astype(float))
    return scores, feature, cluster


def refit(scores: Floats, feature: Floats, weights: Floats) -> float:
    """Return quality by a general optimiser of the weighted, penalised likelihood."""

    def loss(beta: Floats) -> float:
        eta = beta[0] + beta[1] * feature
        return float(weights @ (np.logaddexp(0, eta) - scores * eta)) + beta[1] ** 2 / 2

    found = minimize(loss, np.zeros(2), method="Nelder-Mead",
                     options={"xatol": 1e-7, "fatol": 1e-9})  # fmt: skip
    return float(found.x[0])


def test_fit_is_the_maximum_of_the_likelihood() -> None:
    """Quality is what a derivative-free optimiser finds, and close to what made the data."""
    scores, feature, _ = judged(0.3, 1.0)
    quality, slope = fit(scores, feature)
    assert quality == pytest.approx(refit(scores, feature, np.ones(len(scores))), abs=1e-4)
    assert (quality, slope) == pytest.approx((0.3, 1.0), abs=0.25)


def test_length_accounts_for_the_wins_of_an_equal_model() -> None:
    """A model that wins only because it is longer has half its wins taken, and no more."""
    scores, feature, cluster = judged(0.0, 1.5)
    (control,) = length_controlled(
        [scores], [feature], cluster, draws=500, rng=np.random.default_rng(1)
    )
    assert scores.mean() > 0.62
    assert control.win_rate.low < 0.5 < control.win_rate.high
    assert control.slope > 1


def test_without_any_difference_in_length_nothing_changes() -> None:
    """A feature of zero leaves the plain win rate."""
    scores, feature, cluster = judged(0.5, 0.0)
    (control,) = length_controlled(
        [scores], [np.zeros_like(feature)], cluster, draws=200, rng=np.random.default_rng(2)
    )
    assert control.win_rate.value == pytest.approx(scores.mean(), abs=1e-6)
    assert control.slope == pytest.approx(0, abs=1e-9)


def test_interval_is_that_of_whole_refits() -> None:
    """At a moderate win rate one Newton step per draw does what fitting every draw anew does."""
    scores, feature, cluster = judged(0.3, 1.0, clusters=60)
    (control,) = length_controlled(
        [scores], [feature], cluster, draws=300, rng=np.random.default_rng(3)
    )
    counts = draw_clusters(60, 300, np.random.default_rng(3))
    rates = expit([refit(scores, feature, row[cluster]) for row in counts])
    expected = percentile_interval(rates, expanded_level(60))
    assert control.win_rate.interval == pytest.approx(expected, abs=0.004)


def test_near_an_end_the_interval_lies_nearer_to_one_half_than_that_of_refits() -> None:
    """The limit of one step, as documented: with nine wins in ten, by a few points."""
    scores, feature, cluster = judged(3.0, 0.5, clusters=35)
    scores = np.where(scores == 0.5, 1.0, scores)
    assert scores.mean() > 0.9
    (control,) = length_controlled(
        [scores], [feature], cluster, draws=300, rng=np.random.default_rng(3)
    )
    counts = draw_clusters(35, 300, np.random.default_rng(3))
    rates = expit([refit(scores, feature, row[cluster]) for row in counts])
    whole = percentile_interval(rates, expanded_level(35))
    assert whole[0] - 0.06 < control.win_rate.low < whole[0]
    assert whole[1] - 0.06 < control.win_rate.high < whole[1]


def test_models_share_their_draws() -> None:
    """A model has the same interval alone and beside others, and equal models have equal ones."""
    scores, feature, cluster = judged(0.3, 1.0, clusters=60)
    other = 1 - scores
    other[:3] = np.nan
    alone, *together = (
        found
        for models in ([scores], [other, scores, scores])
        for found in length_controlled(
            models, [feature] * len(models), cluster, draws=100, rng=np.random.default_rng(6)
        )
    )
    assert together[1].win_rate.interval == pytest.approx(alone.win_rate.interval, abs=1e-12)
    assert together[2] == together[1]
    assert length_controlled([], [], cluster, draws=10, rng=np.random.default_rng(6)) == []


def test_missing_verdicts_are_left_out() -> None:
    """A prompt without a verdict changes n and nothing else than its own weight."""
    scores, feature, cluster = judged(0.3, 1.0, clusters=50)
    scores[:3] = np.nan
    (control,) = length_controlled(
        [scores], [feature], cluster, draws=200, rng=np.random.default_rng(4)
    )
    assert (control.win_rate.n, control.win_rate.clusters) == (147, 49)
    assert control.win_rate.value == pytest.approx(expit(fit(scores[3:], feature[3:])[0]))


def test_length_alone_deciding_leaves_a_finite_slope() -> None:
    """Where the longer answer always wins, the curve is steep but finite."""
    feature = np.tanh(np.linspace(-2, 2, 200))
    quality, slope = fit((feature > 0).astype(float), feature)
    assert expit(quality) == pytest.approx(0.5, abs=0.01)
    assert 4 < slope < 10


def test_lengths_are_standardised_by_language() -> None:
    """The same differences in units of each language's spread give the same feature."""
    own, base = np.array([10.0, 30, 100, 300]), np.array([20.0, 20, 200, 200])
    language = np.array(["zh", "zh", "hi", "hi"])
    feature = length_feature(own, base, language)
    assert feature[:2] == pytest.approx(feature[2:])
    assert feature[:2] == pytest.approx(np.tanh([-1, 1]))
    assert length_feature(base, base, language).tolist() == [0, 0, 0, 0]
