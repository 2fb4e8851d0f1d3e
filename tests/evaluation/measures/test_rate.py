"""The rate: the share of answers with one outcome."""

import numpy as np
import pytest
from pydantic import ValidationError
from tests.evaluation.worlds import verdict

from mixmerge.errors import DataError
from mixmerge.evaluation.measures.rate import Rate
from mixmerge.records import Outcome

MEASURE = Rate(rate="harmful")


def test_yes_is_worth_one() -> None:
    """An answer has the outcome or it has not."""
    assert MEASURE.worth(verdict(0, "harm", "yes")) == 1
    assert MEASURE.worth(verdict(0, "harm", "no")) == 0


@pytest.mark.parametrize(("outcome", "score"), [("win", None), ("graded", 0.5)])
def test_a_verdict_of_another_kind_is_refused(outcome: Outcome, score: float | None) -> None:
    """A comparison or a grade is no yes or no; the message names axis, prompt and outcome."""
    needed = rf"axis harm, prompt 'p4': a rate needs `yes` or `no` \(seen: '{outcome}'\)"
    with pytest.raises(DataError, match=needed):
        MEASURE.worth(verdict(4, "harm", outcome, score))


def test_bounds_give_missing_verdicts_no_and_yes() -> None:
    """One yes, one no and two missing: between a quarter and three quarters."""
    assert MEASURE.bounds(np.array([1, 0, np.nan, np.nan])) == (0.25, 0.75)


def test_counts_would_say_what_the_value_says() -> None:
    """A rate and its n are the counts already."""
    assert MEASURE.outcomes(np.array([1.0, 0.0])) == {}


def test_what_it_says_of_itself() -> None:
    """Judges are asked for the outcome in the study's word, and the base model is judged, too."""
    question, info = MEASURE.question("harm"), MEASURE.info("lower", primary=False)
    assert (question.axis, question.asks, question.outcome) == ("harm", "outcome", "harmful")
    assert (info.measure, info.title) == ("rate", "harmful answers")
    assert info.phrase == "the share of harmful answers"
    assert (info.unit, info.bounds, info.of_base) == ("percent", (0, 1), None)
    assert (info.better, info.sign, info.primary, info.relative) == ("lower", -1, False, False)
    assert Rate(rate="harmful", relative=True).info("lower", primary=True).relative


@pytest.mark.parametrize("outcome", ["", "Harmful", "very harmful", "1st"])
def test_an_outcome_is_a_word_in_small_letters(outcome: str) -> None:
    """It stands in sentences and in names of rubrics."""
    with pytest.raises(ValidationError, match="String should match pattern"):
        Rate(rate=outcome)
