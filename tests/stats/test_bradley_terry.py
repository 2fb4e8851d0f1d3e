"""Strengths agree with a general optimiser, and come only from verdicts that exist."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from mixmerge.errors import SampleError
from mixmerge.stats.bradley_terry import (
    bradley_terry,
    implied_win_rates,
    win_matrix,
    win_rates,
)

NAMES = ("base", "mix", "merge", "expert")


def test_wins_are_counted_with_ties_as_halves() -> None:
    """Each verdict adds one to its pair, shared by the result; missing ones add nothing."""
    wins = win_matrix(
        np.array([0, 0, 1, 0]), np.array([1, 1, 2, 2]), np.array([1.0, 0.5, 0.0, np.nan]), 3
    )
    assert wins.tolist() == [[0, 1.5, 0], [0.5, 0, 0], [0, 1, 0]]
    rates = win_rates(wins)
    assert rates[0, 1] == 0.75
    assert np.isnan([rates[0, 2], rates[0, 0]]).all()


def test_strengths_are_the_most_likely_ones() -> None:
    """A general optimiser of the likelihood finds the same strengths."""
    wins = np.random.default_rng(0).integers(3, 30, size=(4, 4)).astype(float)
    np.fill_diagonal(wins, 0)

    def loss(rest: np.ndarray) -> float:
        strengths = np.concatenate([[0.0], rest])
        return -float(np.sum(wins * np.log(expit(strengths[:, None] - strengths))))

    expected = minimize(loss, np.zeros(3), tol=1e-10).x
    assert bradley_terry(wins, NAMES) == pytest.approx([0, *expected], abs=1e-4)


def test_against_the_base_alone_strength_is_the_log_odds_of_the_win_rate() -> None:
    """A star of comparisons has closed-form strengths; other pairs are only implied."""
    wins = np.zeros((4, 4))
    wins[1:, 0], wins[0, 1:] = (60, 75, 20), (40, 25, 80)
    strengths = bradley_terry(wins, NAMES)
    assert strengths == pytest.approx([0, *logit([0.6, 0.75, 0.2])])
    assert np.isnan(win_rates(wins)[1, 2])
    assert implied_win_rates(strengths)[2, 1] == pytest.approx(expit(logit(0.75) - logit(0.6)))


def test_many_draws_are_fitted_at_once() -> None:
    """Every set of wins of a stack has the strengths that it has alone."""
    wins = np.random.default_rng(1).integers(1, 9, size=(5, 4, 4)).astype(float)
    together = bradley_terry(wins, NAMES)
    for own, strengths in zip(wins, together, strict=True):
        assert bradley_terry(own, NAMES) == pytest.approx(strengths, abs=1e-7)


def test_a_model_that_never_lost_has_no_strength() -> None:
    """Without a chain of wins in both directions the message names who is apart."""
    wins = np.array([[0.0, 2, 3], [1, 0, 2], [0, 0, 0]])
    with pytest.raises(SampleError, match="between base and merge there is none"):
        bradley_terry(wins, ("base", "mix", "merge"))
