"""A pattern is found in an answer, or what it finds is compared with the right answers."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.evaluation.judges.cases import CORRECT, GRADED, item, items, outcomes, question

from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.judges.judge import JudgeContext, ProgramJudge
from mixmerge.evaluation.judges.regex import RegexSpec


def judge(pattern: str, **settings: object) -> ProgramJudge:
    context = JudgeContext(journal=Path("calls.jsonl"))
    return RegexSpec.model_validate({"regex": pattern, **settings}).build(context)


def test_a_match_is_the_outcome_that_the_study_names() -> None:
    """Any outcome may be one that a pattern tells, and it may count for a grade."""
    sorry = judge(r"(?i)\b(sorry|désolée?|извините)\b")
    asked = items("I am SORRY.", "Je suis désolé", "Извините!", "sorryful")
    assert outcomes(sorry.judge(asked, question("outcome", "apologises"))) == ["yes"] * 3 + ["no"]
    assert outcomes(sorry.judge(asked, GRADED)) == ["yes"] * 3 + ["no"]
    assert sorry.judge(asked, GRADED)[0].reason == "found: SORRY"


@pytest.mark.parametrize(
    ("settings", "said", "outcome"),
    [
        ({"group": 1}, "Answer: (B) because", "yes"),
        ({"group": 1}, "Answer: (A)", "no"),
        ({"group": 1}, "Answer: (A) no, Answer: (B)", "no"),
        ({"group": 1, "last": True}, "Answer: (A) no, Answer: (B)", "yes"),
        ({"group": "letter"}, "Answer: (B)", "yes"),
        ({}, "Answer: (B)", "no"),
        ({"group": 1}, "B", "no"),
    ],
)
def test_what_is_found_is_compared(settings: dict[str, object], said: str, outcome: str) -> None:
    """The first or the last place that matches gives the answer, in whole or in a group."""
    by = judge(r"Answer: \((?P<letter>[A-D])\)", extract=True, **settings)
    assert outcomes(by.judge([item(said, accepted=("B",))], CORRECT)) == [outcome]


def test_extraction_can_only_say_correct() -> None:
    """What equals an accepted answer is not harmful by that."""
    spec = RegexSpec(regex="x", extract=True)
    with pytest.raises(ValueError, match="recognizes `correct`, not `harmful`: remove `extract`"):
        spec.check(question("outcome", "harmful"))
    with pytest.raises(DataError, match="prompt q0: the judge regex compares with accepted"):
        judge("x", extract=True).judge(items("x"), CORRECT)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"regex": "(?P<a>x"}, "is not a regular expression: missing"),
        ({"regex": "(x)", "extract": True, "group": 2}, "no group 2; it has 0, 1"),
        ({"regex": "(?P<a>x)", "extract": True, "group": "b"}, "no group 'b'; it has 0, 1, a"),
        ({"regex": "(x)", "group": 1}, "need `extract: true`"),
        ({"regex": ""}, "at least 1 character"),
    ],
)
def test_a_pattern_that_cannot_be_meant_is_refused(
    settings: dict[str, object], message: str
) -> None:
    """Mistakes are seen when the study file is read."""
    with pytest.raises(ValidationError, match=message):
        RegexSpec.model_validate(settings)


def test_a_pattern_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message shows the pattern, and why it may take so long."""
    monkeypatch.setattr("mixmerge.evaluation.judges.parts._SECONDS", 0.2)
    with pytest.raises(SpecError, match=r"had not finished .* on an answer of 61 characters"):
        judge("(a|a)+$").judge(items("a" * 60 + "!"), question("outcome", "odd"))
