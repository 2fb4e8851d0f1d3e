"""Scores of a log become verdicts, with prompts and answers."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import DataError
from mixmerge.evaluation.measures.mean import Mean
from mixmerge.evaluation.measures.rate import Rate
from mixmerge.evaluation.sources import reading
from mixmerge.logs.scores import Scores


def scores(*values: float, model: str = "mixed", task: str = "sums") -> Scores:
    """The scores of a model on one task, its items named by letters."""
    return Scores(
        model=model,
        task=task,
        metric="acc",
        origin=Path("log.json"),
        format="lm_eval",
        items=list("abcdefgh"[: len(values)]),
        values=list(values),
        contents=[f"question {place}" for place in range(len(values))],
        version="1.0",
    )


def test_a_score_is_a_grade_with_its_cluster() -> None:
    """The item is its own cluster unless the log names another; a gap is no verdict."""
    rows = reading.verdicts([scores(1, 0.25, math.nan)], "math", Mean(), "fr")
    assert [row.score for row in rows] == [1, 0.25, None]
    assert [row.outcome for row in rows] == ["graded", "graded", "unreadable"]
    assert [row.cluster for row in rows] == ["a", "b", "c"]
    assert {(row.axis, row.language, row.category) for row in rows} == {("math", "fr", None)}
    assert {row.judge for row in rows} == {"lm_eval sums@1.0 acc"}
    own = replace(scores(1, 0), clusters=["x", "x"], languages=["de", "en"])
    rows = reading.verdicts([own], "math", Mean(), "fr")
    assert [(row.cluster, row.language) for row in rows] == [("x", "de"), ("x", "en")]


def test_epochs_are_several_verdicts_on_one_item() -> None:
    """Their mean is the item's score, so that they do not count as more items."""
    repeated = replace(scores(1, 0), items=["a", "a"], epochs=["1", "2"])
    assert [r.prompt for r in reading.verdicts([repeated], "m", Mean(), "en")] == ["a", "a"]


def test_a_group_of_tasks_keeps_them_apart() -> None:
    """Items of two tasks may have the same id; the task is the category."""
    rows = reading.verdicts([scores(1), scores(0, task="times")], "math", Mean(), "en")
    assert [(row.prompt, row.cluster, row.category) for row in rows] == [
        ("sums/a", "sums/a", "sums"),
        ("times/a", "times/a", "times"),
    ]


def test_a_rate_counts_scores_of_one() -> None:
    """Whatever the outcome is called."""
    rows = reading.verdicts([scores(1, 0)], "math", Rate(rate="correct"), "en")
    assert [row.outcome for row in rows] == ["yes", "no"]


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (Mean(), r"math, item 'b', lm_eval sums@1.0 acc: a grade on math is within 0 and 1 "),
        (Rate(rate="correct"), r"a rate counts scores of 0 and 1 \(seen: 7\)"),
    ],
)
def test_a_score_out_of_bounds_is_an_error(measure: Mean | Rate, message: str) -> None:
    """To clip it would make up a grade; the message says how to state the bounds."""
    with pytest.raises(DataError, match=message) as raised:
        reading.verdicts([scores(1, 7)], "math", measure, "en")
    assert "`measure: {mean: [LOWEST, HIGHEST]}`" in str(raised.value)
    assert reading.verdicts([scores(1, 7)], "math", Mean(mean=(0, 10)), "en")[1].score == 7


@pytest.mark.parametrize(
    "name", ["mixed", "./models/mixed", "/models/mixed", "lm/mixed", "org/mixed"]
)
def test_a_model_is_found_by_its_name(name: str) -> None:
    """A log may name the folder, or what ran the model."""
    found = [scores(1, model=each) for each in ("other", "org/mixed")]
    own = reading.of_model(found, [name.removeprefix("lm/")], Path("logs"))
    assert [each.model for each in own] == ["org/mixed"]


def test_a_model_that_is_not_in_a_log() -> None:
    """The message names those that are, and how to match them."""
    with pytest.raises(DataError, match=r"no scores of 'mixed'; its models are `a`, `b`.*mixed: N"):
        reading.of_model([scores(1, model="a"), scores(1, model="b")], ["mixed"], Path("logs"))
    both = [scores(1, model="x/mixed"), scores(1, model="y/mixed")]
    with pytest.raises(DataError, match="`x/mixed`, `y/mixed` may both be 'mixed'"):
        reading.of_model(both, ["mixed"], Path("logs"))
    assert reading.of_model(both, ["y/mixed"], Path("logs")) == both[1:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "2.0"}, "the version is '2.0', of the base '1.0'"),
        ({"version": ""}, "the version is 'unknown', of the base '1.0'"),
        ({"metric": "acc_norm"}, "the metric is 'acc_norm', of the base 'acc'"),
        ({"items": ["a", "b", "x"]}, "it has 3 items, the base 3, 2 in common"),
        ({"contents": ["question 0", "new", "newer"]}, r"2 of 3 items have another question.*'b'"),
        ({"task": "times"}, "mixed was scored on `times`, the base model on `sums`"),
    ],
)
def test_another_task_is_refused(change: dict[str, Any], message: str) -> None:
    """Scores on other items are not compared; the message counts what differs."""
    base = scores(1, 0, 1, model="base")
    reading.require_same_items([scores(0, 0, 0)], [base], "mixed")
    with pytest.raises(DataError, match=message):
        reading.require_same_items([replace(scores(0, 0, 0), **change)], [base], "mixed")
