"""Verdicts become scores on the same prompts for every model."""

import math

import pytest

from mixmerge.errors import DataError
from mixmerge.evaluation.calibration.labels import decided
from mixmerge.evaluation.scores import score_table
from mixmerge.records import Outcome, Verdict


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


def test_scores_clusters_and_languages_line_up() -> None:
    """Rows of all models are in the first model's order, whatever the order of the others."""
    rows = [verdict("a-en", "win"), verdict("b-en", "tie"), verdict("a-hi", "loss")]
    table = score_table("general", {"one": rows, "two": rows[::-1]})
    assert table.cluster.tolist() == [0, 1, 0]
    assert table.languages == ["en", "hi"]
    assert table.rows("en").tolist() == [True, True, False]
    assert table.rows(None).all()
    assert table.scores["one"].tolist() == table.scores["two"].tolist() == [1, 0.5, 0]


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
    (seen,) = score_table("general", {"one": rows}).scores["one"].tolist()
    assert seen == pytest.approx(score, nan_ok=True)


def test_judges_count_alike_however_often_they_were_asked() -> None:
    """A person without an order and a judge model with two have one say each."""
    person, model = verdict("a-en", "win"), verdict("a-en", "loss")
    rows = [person, *[model.model_copy(update={"judge": "m"})] * 2]
    assert score_table("general", {"one": rows}).scores["one"].tolist() == [0.5]
    assert decided(rows) == {"a-en": "tie"}


def test_a_verdict_of_another_axis_is_refused() -> None:
    """Mixed-up files are noticed; the message names model, prompt and both axes."""
    with pytest.raises(DataError, match=r"'one', prompt 'a-en': .* on safety .*one on general"):
        score_table("safety", {"one": [verdict("a-en", "win")]})
