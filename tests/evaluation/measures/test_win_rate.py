"""The win rate: wins and half of the ties, one half for the base model by definition."""

import numpy as np
import pytest
from pydantic import ValidationError
from tests.evaluation.worlds import verdict

from mixmerge.errors import DataError
from mixmerge.evaluation.measures.win_rate import WinRate
from mixmerge.records import Outcome

MEASURE = WinRate()


@pytest.mark.parametrize(("outcome", "worth"), [("win", 1.0), ("tie", 0.5), ("loss", 0.0)])
def test_a_tie_is_worth_half_a_win(outcome: Outcome, worth: float) -> None:
    """Win, tie and loss are worth 1, one half and 0."""
    assert MEASURE.worth(verdict(0, "quality", outcome)) == worth


@pytest.mark.parametrize("outcome", ["yes", "no"])
def test_a_verdict_on_one_answer_is_refused(outcome: Outcome) -> None:
    """The message names axis, prompt and what a win rate needs."""
    needed = r"axis quality, prompt 'p4': a win rate needs `win`, `tie` or `loss` \(seen: '"
    with pytest.raises(DataError, match=f"{needed}{outcome}'"):
        MEASURE.worth(verdict(4, "quality", outcome))


def test_prompts_are_counted_by_their_mean() -> None:
    """Above one half is a win and below a loss, in whatever way judges and orders made it."""
    scores = np.array([1, 0.75, 0.5, 0.25, 0, np.nan])
    assert MEASURE.outcomes(scores) == {"win": 2, "tie": 1, "loss": 2}
    assert MEASURE.outcomes(np.full(3, np.nan)) == {"win": 0, "tie": 0, "loss": 0}


def test_bounds_make_missing_verdicts_losses_and_wins() -> None:
    """Three of four known, one missing: between all lost and all won."""
    assert MEASURE.bounds(np.array([1, 0.5, 0, np.nan])) == (0.375, 0.625)
    assert MEASURE.bounds(np.array([1, 0.5])) == (0.75, 0.75)


def test_what_it_says_of_itself() -> None:
    """Judges compare two answers; the base model has one half and is not judged."""
    question, info = MEASURE.question("quality"), MEASURE.info("higher", primary=True)
    assert (question.axis, question.asks, question.outcome) == ("quality", "comparison", "")
    assert (info.measure, info.title, info.phrase) == ("win_rate", "win rate", "the win rate")
    assert (info.unit, info.bounds, info.of_base) == ("percent", (0, 1), 0.5)
    assert (info.better, info.sign, info.primary, info.relative) == ("higher", 1, True, False)


def test_only_the_base_model_is_compared_with() -> None:
    """Another opponent would need other answers: it is refused."""
    with pytest.raises(ValidationError, match="Input should be 'base'"):
        WinRate.model_validate({"win_rate": "mix15"})
