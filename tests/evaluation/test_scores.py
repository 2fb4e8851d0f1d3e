"""Verdicts become scores on the same prompts for every model."""

import math

import pytest

from mixmerge.errors import DataError
from mixmerge.evaluation.calibration.labels import decided
from mixmerge.evaluation.measures import MEASURES
from mixmerge.evaluation.scores import ScoreTable, score_table
from mixmerge.records import Outcome, Verdict

WORTH = MEASURES["win_rate"]().worth


def verdict(prompt: str, outcome: Outcome) -> Verdict:
    cluster, language = prompt.split("-")
    return Verdict(
        prompt=prompt,
        cluster=cluster,
        language=language,
        axis="general",
        judge="j",
        outcome=outcome,
    )


def table(verdicts: dict[str, list[Verdict]], axis: str = "general") -> ScoreTable:
    return score_table(axis, verdicts, WORTH)


def test_scores_clusters_and_languages_line_up() -> None:
    """Rows of all models are in the first model's order, whatever the order of the others."""
    rows = [verdict("a-en", "win"), verdict("b-en", "tie"), verdict("a-hi", "loss")]
    made = table({"one": rows, "two": rows[::-1]})
    assert (made.axis, made.prompts) == ("general", ["a-en", "b-en", "a-hi"])
    assert made.cluster.tolist() == [0, 1, 0]
    assert made.languages == ["en", "hi"]
    assert made.rows("en").tolist() == [True, True, False]
    assert made.rows(None).all()
    assert made.scores["one"].tolist() == made.scores["two"].tolist() == [1, 0.5, 0]


@pytest.mark.parametrize(
    ("outcomes", "score"),
    [
        (("win", "win"), 1.0),
        (("win", "loss"), 0.5),
        (("tie", "loss"), 0.25),
        (("win", "unreadable"), math.nan),
        (("error", "refused"), math.nan),
    ],
)
def test_two_orders_are_averaged_or_missing(outcomes: tuple[Outcome, ...], score: float) -> None:
    """Both orders count equally, and one missing order makes the prompt missing."""
    rows = [verdict("a-en", outcome) for outcome in outcomes]
    (seen,) = table({"one": rows}).scores["one"].tolist()
    assert seen == pytest.approx(score, nan_ok=True)


def test_judges_count_alike_however_often_they_were_asked() -> None:
    """A person without an order and a judge model with two have one say each."""
    person, model = verdict("a-en", "win"), verdict("a-en", "loss")
    rows = [person, *[model.model_copy(update={"judge": "m"})] * 2]
    assert table({"one": rows}).scores["one"].tolist() == [0.5]
    assert decided(rows) == {"a-en": "tie"}


def test_a_verdict_of_another_axis_is_refused() -> None:
    """Mixed-up files are noticed; the message names model, prompt and both axes."""
    with pytest.raises(DataError, match=r"'one', prompt 'a-en': .* on safety .*one on general"):
        table({"one": [verdict("a-en", "win")]}, "safety")
