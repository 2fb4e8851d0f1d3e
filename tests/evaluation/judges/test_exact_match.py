"""Exact match compares as lm-evaluation-harness and SQuAD do, in any script."""

import re
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.evaluation.judges.cases import CORRECT, GRADED, item, items, outcomes

from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.judges.exact_match import ExactMatchSpec
from mixmerge.evaluation.judges.judge import ProgramJudge


def judge(**settings: object) -> ProgramJudge:
    spec = ExactMatchSpec.model_validate(settings)
    return ProgramJudge(spec, spec._decide)


@pytest.mark.parametrize(
    ("settings", "right", "wrong"),
    [
        ({"exact_match": "none"}, ["Paris", "Lutèce"], ["paris", "Paris ", "Paris."]),
        ({}, [" Paris\n", "Lute\u0300ce"], ["paris", "Paris.", "Paris Lutèce", ""]),
        ({"ignore_case": True}, ["PARIS", "LUTÈCE"], ["Paris!"]),
        ({"ignore_punctuation": True}, ["«Paris»!", "“Paris”"], ["paris"]),
        ({"ignore_numbers": True}, ["Paris 75", "Paris ٧५"], ["Paris 75e"]),
        ({"regexes_to_ignore": [r"(?s).*#### ", r"\.$"]}, ["So:\n#### Paris."], ["Paris!"]),
        ({"exact_match": "squad"}, ["The  paris.", "a, lutèce"], ["Theparis", "in Paris"]),
    ],
)
def test_answers_are_normalised_first(
    settings: dict[str, object], right: list[str], wrong: list[str]
) -> None:
    """Any one of the accepted answers will do, after both texts were normalised alike."""
    by = judge(**settings)
    asked = items(*right, *wrong, accepted=("Paris", "Lutèce"))
    assert outcomes(by.judge(asked, CORRECT)) == ["yes"] * len(right) + ["no"] * len(wrong)


@pytest.mark.parametrize(
    ("accepted", "said"),
    [("नई दिल्ली", "«नई दिल्ली»।"), ("القاهرة", "القاهرة؟"), ("Москва", "МОСКВА…"), ("¿Qué?", "QUÉ")],
)
def test_every_script_has_case_and_marks(accepted: str, said: str) -> None:
    """Punctuation and case of Hindi, Arabic, Russian and Spanish are known; vowel signs stay."""
    by = judge(exact_match="squad")
    assert outcomes(by.judge([item(said, accepted=(accepted,))], CORRECT)) == ["yes"]


def squad(text: str) -> str:
    """Normalise ASCII as the description of SQuAD v1.1 says."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(word for word in re.split(r"\s+", re.sub(r"\b(a|an|the)\b", " ", kept)) if word)


@given(st.text(st.characters(max_codepoint=126)))
def test_ascii_is_normalised_as_in_squad(text: str) -> None:
    """An independent normalisation of ASCII texts gives the same."""
    assert ExactMatchSpec(exact_match="squad").normalised(text) == squad(text)


@pytest.mark.parametrize(
    ("said", "f1"),
    [("the cat sat", 1.0), ("cat", 2 / 3), ("dog", 0.0), ("a cat sat on cat", 2 * 2 / (4 + 2))],
)
def test_f1_counts_common_words(said: str, f1: float) -> None:
    """Graded, an answer is worth its words in common with the best accepted answer."""
    by = judge(exact_match="squad", f1=True)
    (verdict,) = by.judge([item(said, accepted=("Cat sat.", "mouse"))], GRADED)
    assert verdict.score == pytest.approx(1 + 9 * f1)
    common = (Counter(squad(said).split()) & Counter(["cat", "sat"])).total()
    assert f1 == pytest.approx(2 * common / (len(squad(said).split()) + 2))


def test_without_f1_a_grade_is_yes_or_no() -> None:
    """A measure of grades takes yes for the highest and no for the lowest."""
    asked = items("Paris", "Rome", accepted=("Paris",))
    assert outcomes(judge().judge(asked, GRADED)) == ["yes", "no"]


def test_a_prompt_without_accepted_answers_is_named() -> None:
    """There is nothing to compare with, which is no wrong answer."""
    with pytest.raises(DataError, match="prompt q0: the judge exact_match compares with accepted"):
        judge().judge(items("Paris"), CORRECT)


def test_settings_that_cannot_be_meant_are_refused() -> None:
    """A pattern that is none, and F1 of texts that are not split into words."""
    with pytest.raises(ValidationError, match=r"`\[` is not a regular expression"):
        judge(regexes_to_ignore=["["])
    with pytest.raises(ValidationError, match="needs `exact_match: squad`"):
        judge(f1=True)


def test_a_pattern_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nested repetitions on a long answer give one message instead of hours."""
    monkeypatch.setattr("mixmerge.evaluation.judges.parts._SECONDS", 0.2)
    by = judge(regexes_to_ignore=["(a|a)+$"])
    with pytest.raises(SpecError, match=r"The pattern `\(a\|a\)\+\$` had not finished after 0.2"):
        by.judge([item("a" * 60 + "!", accepted=("x",))], CORRECT)


def test_its_name_changes_with_its_settings() -> None:
    """The usual settings have a plain name, others a digest."""
    assert judge().name == judge(exact_match="strip").name == "exact_match@1"
    assert judge(ignore_case=True).name.startswith("exact_match@1 #")
    assert judge(ignore_case=True).name != judge(exact_match="squad").name
