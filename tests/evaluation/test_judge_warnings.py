"""Judges that tell nothing apart are named, and judges that do are not."""

from typing import Literal

import numpy as np
import pytest

from mixmerge.evaluation.judge_warnings import judge_warnings
from mixmerge.records import Axis, Outcome, Verdict
from mixmerge.records.results import JudgeWarning

Order = Literal["model-first", "base-first"]
ORDERS: tuple[Order, Order] = ("model-first", "base-first")
Pair = tuple[Outcome, Outcome]
"""Outcomes of one pair with the model first, and with the base first."""

FIRST: Pair = ("win", "loss")
SECOND: Pair = ("loss", "win")
WON: Pair = ("win", "win")
TIED: Pair = ("tie", "tie")
HALF: Pair = ("tie", "loss")


def row(index: int, axis: Axis, outcome: Outcome, order: Order | None = None) -> Verdict:
    return Verdict(
        prompt=f"q{index}",
        cluster=f"q{index}",
        language="en",
        axis=axis,
        judge="j quality@1",
        order=order,
        outcome=outcome,
    )


def compared(*pairs: Pair) -> list[Verdict]:
    """Return verdicts on pairs, seen with the model first and with the base first."""
    return [
        row(index, "quality", outcome, order)
        for index, pair in enumerate(pairs)
        for outcome, order in zip(pair, ORDERS, strict=True)
    ]


def warned(*models: list[Verdict]) -> tuple[JudgeWarning, ...]:
    axis = models[0][0].axis
    return judge_warnings({f"m{index}": {axis: rows} for index, rows in enumerate(models)})


@pytest.mark.parametrize(("pair", "place"), [(FIRST, "first"), (SECOND, "second")])
def test_a_judge_of_places_is_named(pair: Pair, place: str) -> None:
    """Always A gives a win and a loss for every pair: one half, and no information."""
    (warning,) = warned(compared(*[pair] * 50))
    assert (warning.kind, warning.word, warning.share, warning.n) == ("place", place, 1.0, 100)
    assert warning.axis == "quality"
    assert f"chose the {place} answer in 100 of 100 comparisons" in warning.message


def test_a_few_exceptions_do_not_hide_it() -> None:
    """Ninety-six of a hundred are still a preference for a place; ninety are doubtful only."""
    assert warned(compared(*[FIRST] * 46, *[HALF] * 4))[0].share == 0.96
    assert warned(compared(*[FIRST] * 45, *[WON] * 5)) != ()
    assert warned(compared(*[FIRST] * 40, *[WON] * 10)) == ()


def test_a_judge_of_answers_is_not_named() -> None:
    """A model that always wins wins in both places; so does a judge that is wrong at random."""
    rng = np.random.default_rng(0)
    assert warned(compared(*[WON] * 100)) == ()
    outcomes: tuple[Outcome, ...] = ("win", "tie", "loss")
    at_random: list[Pair] = [(outcomes[i], outcomes[j]) for i, j in rng.integers(0, 3, (100, 2))]
    assert warned(compared(*at_random)) == ()


def test_a_judge_that_calls_everything_a_tie_is_named() -> None:
    """Identical answers are ties that no judge was asked about, and do not count."""
    (warning,) = warned(compared(*[TIED] * 10))
    assert (warning.kind, warning.word, warning.n) == ("word", "tie", 20)
    assert warned([row(index, "quality", "tie") for index in range(100)]) == ()


@pytest.mark.parametrize("axis", ["harm", "refusals"])
@pytest.mark.parametrize("word", ["yes", "no"])
def test_a_judge_with_one_word_is_named(axis: Axis, word: Outcome) -> None:
    """One word for all answers of all models; one other answer acquits it."""
    always = [row(index, axis, word) for index in range(60)]
    (warning,) = warned(always, always)
    assert (warning.kind, warning.word, warning.n) == ("word", word, 120)
    assert "--calibrate" in warning.message
    other: Outcome = "no" if word == "yes" else "yes"
    assert warned(always, [*always, row(60, axis, other)]) == ()


def test_a_judge_with_one_grade_is_named() -> None:
    """One number for all answers is a word like any other; two numbers tell answers apart."""

    def graded(score: float, count: int = 60) -> list[Verdict]:
        changes = {"outcome": "graded", "score": score}
        return [row(index, "style", "yes").model_copy(update=changes) for index in range(count)]

    (warning,) = warned(graded(0.5), graded(0.5))
    assert (warning.kind, warning.word, warning.n) == ("word", "0.5", 120)
    assert "--calibrate" not in warning.message
    assert warned(graded(0.5), graded(1, count=1)) == ()


def test_missing_verdicts_are_no_words() -> None:
    """What was not said neither accuses nor acquits, and few verdicts accuse nobody."""
    said = [row(index, "harm", "no") for index in range(25)]
    missing = [row(index, "harm", "unreadable") for index in range(25, 60)]
    assert warned([*said, *missing])[0].n == 25
    assert warned([*said[:19], *missing]) == ()
    assert warned(missing) == ()


def test_judges_are_looked_at_one_by_one() -> None:
    """Of two judges of an axis only the one that is blind is named."""
    blind = compared(*[FIRST] * 20)
    seeing = [verdict.model_copy(update={"judge": "other"}) for verdict in compared(*[WON] * 20)]
    (warning,) = warned([*blind, *seeing])
    assert warning.judge == "j quality@1"
