"""Tests of mixmerge.stats.crossed: pooling over seeds and questions."""

import numpy as np
import pytest

from mixmerge.errors import SampleError
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.crossed import CrossedMean


def crossed(
    rng: np.random.Generator, seeds: int, clusters: int, spread: tuple[float, float, float]
) -> Floats:
    """Scores with a luck of seeds, of questions, and of both, around a mean of zero."""
    of_seeds = rng.normal(0, spread[0], (seeds, 1))
    of_clusters = rng.normal(0, spread[1], (1, clusters))
    scores: Floats = of_seeds + of_clusters + rng.normal(0, spread[2], (seeds, clusters))
    return scores


@pytest.mark.parametrize(
    "spread",
    [(0.0, 1.0, 1.0), (0.2, 1.0, 1.0), (0.5, 0.5, 1.0), (1.0, 0.2, 0.5)],
    ids=["questions", "both", "even", "seeds"],
)
def test_the_interval_covers_new_seeds_and_questions(spread: tuple[float, float, float]) -> None:
    """Of 2,000 simulated studies of 5 seeds and 60 questions, 93 to 97.5 % cover the truth."""
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(2000):
        scores = crossed(rng, 5, 60, spread)
        low, high = CrossedMean.of(scores, np.ones_like(scores)).estimate().interval
        covered += low <= 0 <= high
    assert 0.93 <= covered / 2000 <= 0.975


def test_the_variance_is_that_of_the_analysis_of_variance() -> None:
    """A table whose mean squares are known by hand gives their combination."""
    # Ten questions at -1 and ten at +1; seeds at -1, 0 and 1: no interaction at all.
    questions, seeds = np.repeat([-1.0, 1.0], 10), np.array([-1.0, 0.0, 1.0])
    scores = 5 + seeds[:, None] + questions[None, :]
    found = CrossedMean.of(scores, np.ones_like(scores)).estimate()
    mean_square_seeds, mean_square_questions = 20 * 2 / 2, 3 * 20 / 19
    variance = (mean_square_seeds + mean_square_questions) / 60
    freedom = (mean_square_seeds + mean_square_questions) ** 2 / (
        mean_square_seeds**2 / 2 + mean_square_questions**2 / 19
    )
    from scipy.stats import t

    half = t.ppf(0.975, freedom) * np.sqrt(variance)
    assert found.value == pytest.approx(5)
    assert found.interval == pytest.approx((5 - half, 5 + half))


def test_one_seed_is_about_questions_only() -> None:
    """With one seed the interval is Student's over questions, and says so."""
    from scipy.stats import sem, t

    scores = np.random.default_rng(1).normal(0, 1, (1, 40))
    found = CrossedMean.of(scores, np.ones_like(scores)).estimate()
    half = t.ppf(0.975, 39) * sem(scores[0])
    assert found.method == "questions"
    assert found.interval == pytest.approx((scores.mean() - half, scores.mean() + half))


def test_a_question_with_more_verdicts_weighs_more() -> None:
    """The pooled value is the mean over verdicts; questions without any count nowhere."""
    rng = np.random.default_rng(2)
    sizes = np.tile(np.r_[np.full(15, 6.0), np.full(5, 3.0), 0.0], (4, 1))
    totals = sizes * rng.normal(0.4, 0.1, sizes.shape)
    found = CrossedMean.of(totals, sizes).estimate()
    assert found.value == pytest.approx(totals.sum() / sizes.sum())
    assert (found.clusters, found.n) == (20, 4 * 105)


def test_identical_scores_have_no_spread() -> None:
    """Where nothing varies the interval is the value."""
    scores = np.full((5, 30), 0.5)
    assert CrossedMean.of(scores, np.ones_like(scores)).estimate().interval == (0.5, 0.5)


def test_too_few_questions_are_refused() -> None:
    """Nine questions are not enough, whatever the number of seeds."""
    with pytest.raises(SampleError, match=r"9 independent prompts .* at least 10"):
        CrossedMean.of(np.ones((5, 9)), np.ones((5, 9)))
