"""The mean: grades between stated bounds, in their own units."""

import math

import numpy as np
import pytest
from pydantic import ValidationError
from tests.evaluation.worlds import verdict

from mixmerge.errors import DataError
from mixmerge.evaluation.measures.mean import Mean

MEASURE = Mean(mean=(1, 5))


@pytest.mark.parametrize(("grade", "worth"), [(1, 0), (2, 0.25), (4.5, 0.875), (5, 1)])
def test_a_grade_is_worth_its_place_between_the_bounds(grade: float, worth: float) -> None:
    """The lowest grade is worth nothing and the highest all; the way back gives the grade."""
    assert MEASURE.worth(verdict(0, "style", "graded", grade)) == worth
    assert MEASURE.of_share(worth) == grade


def test_yes_and_no_are_the_ends() -> None:
    """A judge that only says yes or no gives the highest grade or the lowest."""
    assert MEASURE.worth(verdict(0, "style", "yes")) == 1
    assert MEASURE.worth(verdict(0, "style", "no")) == 0


@pytest.mark.parametrize("grade", [0.99, 5.01, -1.0])
def test_a_grade_outside_the_bounds_is_refused(grade: float) -> None:
    """It is neither cut off nor counted; the message says what to do."""
    seen = rf"axis style, prompt 'p4': a grade from 1 to 5 is required \(seen: {grade} by rules@1"
    with pytest.raises(DataError, match=rf"{seen}\)\. Give the judge's bounds in"):
        MEASURE.worth(verdict(4, "style", "graded", grade))


@pytest.mark.parametrize("grade", [math.inf, -math.inf, math.nan])
def test_what_is_no_number_is_no_grade(grade: float) -> None:
    """It is refused where a verdict is made or read, before any measure sees it."""
    with pytest.raises(ValidationError, match="score\n  Input should be a finite number"):
        verdict(4, "style", "graded", grade)


def test_a_comparison_is_no_grade() -> None:
    """The message says what was seen in its place."""
    with pytest.raises(DataError, match=r"a grade from 1 to 5 is required \(seen: win by rules@1"):
        MEASURE.worth(verdict(4, "style", "win"))


def test_shares_and_differences_come_back_in_grades() -> None:
    """A difference has no lowest grade to add."""
    assert MEASURE.of_share(0.5) == 3
    assert MEASURE.of_difference(0.5) == 2
    assert MEASURE.of_difference(-0.25) == -1


def test_bounds_give_missing_verdicts_both_ends() -> None:
    """As shares of the range: the missing half lowest, then highest."""
    assert MEASURE.bounds(np.array([0.5, 0.5, np.nan, np.nan])) == (0.25, 0.75)


def test_what_it_says_of_itself() -> None:
    """Judges hear the bounds; fractions are shown as percent and other grades as they are."""
    question, info = MEASURE.question("style"), MEASURE.info("higher", primary=True)
    assert (question.axis, question.asks, question.bounds) == ("style", "grade", (1, 5))
    assert (info.measure, info.title, info.phrase) == ("mean", "mean score", "the mean score")
    assert (info.unit, info.bounds, info.of_base) == ("score", (1, 5), None)
    assert Mean().info("higher", primary=True).unit == "percent"
    assert MEASURE.outcomes(np.array([0.5])) == {}


@pytest.mark.parametrize("bounds", [(5, 1), (3, 3)])
def test_bounds_must_be_a_range(bounds: tuple[float, float]) -> None:
    """Lowest comes first, and there is something between the two."""
    with pytest.raises(ValidationError, match=r"`mean` is the lowest and the highest grade, as \["):
        Mean(mean=bounds)


@pytest.mark.parametrize("bounds", [(0, math.inf), (-math.inf, 0), (math.nan, 1)])
def test_bounds_must_be_finite(bounds: tuple[float, float]) -> None:
    """No grade has a place in a range without an end."""
    with pytest.raises(ValidationError, match="Input should be a finite number"):
        Mean(mean=bounds)
