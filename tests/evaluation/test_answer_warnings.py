"""Answers that are none are named, and answers are not."""

from typing import Literal

import pytest

from mixmerge.evaluation.answer_warnings import answer_warnings
from mixmerge.records import Response


def answers(
    n: int, finish: Literal["stop", "length"], text: str = "Yes.", thoughts: str = ""
) -> list[Response]:
    return [
        Response(prompt=f"q{i}", text=text, thoughts=thoughts, finish_reason=finish, tokens=8)
        for i in range(n)
    ]


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        (answers(20, "length"), "length"),
        (answers(19, "length") + answers(1, "stop"), "length"),
        (answers(18, "length") + answers(2, "stop"), None),
        (answers(4, "length"), None),
        (answers(10, "length", "", "hm") + answers(10, "stop"), "thoughts"),
        (answers(20, "stop", "Yes.", "hm"), None),
        (answers(20, "stop", ""), None),
        ([], None),
    ],
)
def test_a_model_that_gives_no_answers_is_named(rows: list[Response], kind: str | None) -> None:
    """Nearly all at the limit, or half of them thoughts alone, and enough of them."""
    found = answer_warnings({"general": {"sft": rows, "base": answers(20, "stop")}})
    assert [(each.model, each.axis, each.kind) for each in found] == (
        [("sft", "general", kind)] if kind else []
    )
    assert all(f"of {len(rows)} answers of sft on general" in each.message for each in found)
