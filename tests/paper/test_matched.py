"""Tests of paper.matched: sweeps against a model at the same price."""

import numpy as np
import pytest
from paper.matched import at_level
from paper.scores import AxisTable, Scores
from tests.paper.worlds import scores

PATH = ["w1", "w2", "w3"]


def test_the_win_rate_is_read_off_between_neighbouring_weights() -> None:
    """At harm 0.5, a quarter of the way from 0.6 to 0.2, the line from 0.7 to 0.5 has 0.65."""
    rates = {"base": (0.5, 0.8), "w1": (0.8, 0.9), "w2": (0.7, 0.6), "w3": (0.5, 0.2)}
    found = at_level(scores(rates | {"mix": (0.6, 0.5)}), [PATH], "mix", "general")
    assert found.reached == found.seeds == 3
    assert found.difference is not None
    assert found.difference.value == pytest.approx(0.05, abs=1e-3)
    assert found.difference.low < 0.05 < found.difference.high


def test_several_paths_count_as_their_mean() -> None:
    """Two sweeps that are 0.05 and 0.15 above the mix at its harm are 0.1 above together."""
    rates = {"base": (0.5, 0.8), "w1": (0.8, 0.9), "w2": (0.7, 0.6), "w3": (0.5, 0.2)}
    above = {f"{name}-up": (win + 0.1, harm) for name, (win, harm) in rates.items()}
    world = scores(rates | above | {"mix": (0.6, 0.5)})
    found = at_level(world, [PATH, [f"{name}-up" for name in PATH]], "mix", "general")
    assert found.difference is not None
    assert found.difference.value == pytest.approx(0.1, abs=2e-3)


def test_a_level_that_a_seed_does_not_reach_has_no_estimate() -> None:
    """A mix that is safer than every weight can be compared with none."""
    rates = {"base": (0.5, 0.8), "w1": (0.8, 0.9), "w2": (0.7, 0.6), "w3": (0.5, 0.2)}
    found = at_level(scores(rates | {"mix": (0.6, 0.1)}), [PATH], "mix", "general")
    assert (found.reached, found.difference) == (0, None)
    assert np.isnan(found.by_seed).all()


def world(rng: np.random.Generator, seeds: int, questions: int) -> Scores:
    """Seeds and questions with luck of their own; truly the path is 0.05 above at 0.45 harm."""
    truth = {"mix": (0.56, 0.45), "w1": (0.75, 0.9), "w2": (0.65, 0.65), "w3": (0.57, 0.25)}
    cluster, language = np.arange(questions), np.full(questions, "en")
    axes = {}
    for place, axis in enumerate(("general", "safety")):
        hard = rng.normal(0, 0.25, questions)
        axes[axis] = AxisTable(cluster, language, {
            name: own[place] + hard + rng.normal(0, 0.03, (seeds, 1))
            + rng.normal(0, 0.35, (seeds, questions)) + rng.normal(0, 0.2, questions)
            for name, own in truth.items()
        })  # fmt: skip
    return Scores(axes, base="mix")


def test_intervals_cover_the_truth_in_nine_of_ten_worlds() -> None:
    """With new seeds, questions and answers the interval holds the truth as often as asked."""
    rng = np.random.default_rng(8)
    worlds = [at_level(world(rng, 6, 120), [PATH], "mix", "general") for _ in range(300)]
    intervals = [each.difference.interval for each in worlds if each.difference]
    assert len(intervals) > 280
    assert 0.92 <= np.mean([low <= 0.05 <= high for low, high in intervals]) <= 0.99
