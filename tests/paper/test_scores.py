"""Tests of paper.scores: estimates over seeds and questions."""

import math

import numpy as np
import pytest
from paper.scores import AxisTable, Scores
from tests.paper.worlds import scores

from mixmerge.stats.crossed import CrossedMean


def test_a_difference_is_the_difference_of_the_rates() -> None:
    """A formula's value is the combination of the models' rates."""
    found = scores({"base": (0.5, 0.8), "a": (0.7, 0.4), "b": (0.6, 0.5)})
    assert found.estimate("general", {"a": 1.0, "b": -1.0}).value == pytest.approx(0.1)
    mean = {"a": 0.5, "b": 0.5}
    assert found.estimate("safety", mean).value == pytest.approx(0.45)


def test_rates_and_changes_end_where_rates_do() -> None:
    """The interval of a rate stays within 0 and 1, that of a relative change above -1."""
    found = scores({"base": (0.5, 0.8), "a": (0.96, 0.01)}, noise=0.05)
    wide = {axis: found.estimate(axis, {"a": 1.0}) for axis in found.axes}
    assert wide["general"].high > 1
    assert wide["safety"].low < 0
    win, harm = found.rate("general", "a"), found.rate("safety", "a")
    assert win.interval == (wide["general"].low, 1.0)
    assert harm.interval == (0.0, wide["safety"].high)
    change = found.relative_change("a")
    assert change is not None
    assert change.low == -1
    assert change.value == pytest.approx(harm.value / found.rate("safety", "base").value - 1)


def test_translations_are_one_question() -> None:
    """Answers to one question in two languages are one cluster, or one each in one language."""
    found = scores({"base": (0.5, 0.8), "a": (0.7, 0.4)}, questions=25)
    assert found.estimate("general", {"a": 1.0}).clusters == 25
    assert found.estimate("general", {"a": 1.0}).n == 3 * 50
    assert found.estimate("general", {"a": 1.0}, "fr").n == 3 * 25


def test_a_prompt_without_verdict_is_left_out() -> None:
    """A missing verdict of either model removes the prompt from their difference."""
    cluster = np.repeat(np.arange(12), 2)
    language = np.tile(np.array(["en", "fr"]), 12)
    a, b = np.ones((1, 24)), np.zeros((1, 24))
    a[0, 0] = b[0, 3] = np.nan
    table = AxisTable(cluster, language, {"a": a, "b": b})
    totals, sizes = table.by_question({"a": 1.0, "b": -1.0}, None)
    assert sizes[0].tolist() == [1.0, 1.0] + [2.0] * 10
    assert totals[0].tolist() == sizes[0].tolist()


def test_the_relative_change_is_of_the_rates() -> None:
    """(0.4 - 0.8) / 0.8 is a half less, with an interval from the ratio's derivative."""
    found = scores({"base": (0.5, 0.8), "a": (0.7, 0.4)}, noise=0.05)
    change = found.relative_change("a")
    assert change is not None
    own = found.estimate("safety", {"a": 1.0}).value
    base = found.estimate("safety", {"base": 1.0}).value
    assert change.value == pytest.approx(own / base - 1)
    # The same by hand: (a - r b) / mean(b), pooled.
    table = found.axes["safety"]
    linear = (table.scores["a"] - own / base * table.scores["base"]) / base
    by_hand = CrossedMean.of(linear[:, ::2] + linear[:, 1::2], np.full((3, 40), 2.0)).estimate()
    assert change.high - change.low == pytest.approx(by_hand.high - by_hand.low)
    unchanged = found.relative_change("base")
    assert unchanged is not None
    assert unchanged.interval == (0.0, 0.0)


def test_missing_verdicts_of_the_base_do_not_move_a_relative_change() -> None:
    """Where the base lacks some verdicts, the change is still that of the two rates."""
    found = scores({"base": (0.5, 0.8), "a": (0.7, 0.4)})
    found.axes["safety"].scores["base"][:, :9] = np.nan
    change = found.relative_change("a")
    assert change is not None
    own = found.estimate("safety", {"a": 1.0}).value
    base = found.estimate("safety", {"base": 1.0}).value
    assert change.value == pytest.approx(own / base - 1, abs=1e-12)
    assert change.low < change.value < change.high


def test_a_base_that_is_never_harmful_has_no_relative_change() -> None:
    """Nothing can be said relative to zero."""
    found = scores({"base": (0.5, 0.0), "a": (0.7, 0.4)})
    found.axes["safety"].scores["base"][:] = 0.0
    assert found.relative_change("a") is None


def test_balance_is_win_rate_minus_harm_rate() -> None:
    """The value combines both axes; where only questions differ, their variances add up."""
    rng = np.random.default_rng(4)
    cluster, language = np.arange(300), np.full(300, "en")
    answers = {axis: rng.random((1, 300)).repeat(5, axis=0) for axis in ("general", "safety")}
    found = Scores(
        {axis: AxisTable(cluster, language, {"a": own}) for axis, own in answers.items()}
    )
    balance = found.balance({"a": 1.0})
    parts = [found.estimate("general", {"a": 1.0}), found.estimate("safety", {"a": 1.0})]
    assert balance.value == pytest.approx(parts[0].value - parts[1].value)
    general, safety = (part.high - part.low for part in parts)
    assert balance.high - balance.low == pytest.approx(math.hypot(general, safety), rel=0.02)


def test_luck_that_helps_both_axes_adds_up_in_the_balance() -> None:
    """A seed that is better on both axes at once makes the balance less certain, not more."""
    rng = np.random.default_rng(5)
    cluster, language = np.arange(60), np.full(60, "en")
    luck, noise = rng.normal(0, 1, (5, 1)), rng.normal(0, 0.1, (2, 5, 60))
    same = {"general": luck + noise[0], "safety": -luck + noise[1]}
    opposite = {"general": luck + noise[0], "safety": luck + noise[1]}
    widths = []
    for answers in (same, opposite):
        made = {a: AxisTable(cluster, language, {"a": own}) for a, own in answers.items()}
        balance = Scores(made).balance({"a": 1.0})
        widths.append(balance.high - balance.low)
    assert widths[0] > 10 * widths[1]


def test_models_that_are_missing_are_known() -> None:
    """`has` asks for every model on every axis."""
    found = scores({"base": (0.5, 0.8), "a": (0.7, 0.4)})
    assert found.has(["a", "base"])
    assert not found.has(["a", "c"])
