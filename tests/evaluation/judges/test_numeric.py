"""Numbers are read however they are written."""

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluation.judges.cases import CORRECT, item, items, outcomes

from mixmerge.errors import DataError
from mixmerge.evaluation.judges.judge import JudgeContext, ProgramJudge
from mixmerge.evaluation.judges.numeric import NumericSpec, numbers


def judge(**settings: object) -> ProgramJudge:
    return NumericSpec.model_validate(settings).build(JudgeContext(Path("calls.jsonl")))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("about 1,234.5 km", ["1234.5"]),
        ("1.234,5 km", ["1234.5"]),
        ("1,234", ["1234"]),
        ("1.234", ["1.234"]),
        ("0,123", ["0.123"]),
        ("3,5", ["3.5"]),
        ("1.234.567", ["1234567"]),
        ("12,34,567", ["1234567"]),
        ("12\u202f345 and 1'000", ["12345", "1000"]),
        ("−5, – 3 and 10-4", ["-5", "3", "10", "4"]),
        ("$-7 or -$8", ["-7", "-8"]),
        ("1.5e3 or 2E-2", ["1500", "0.02"]),
        (".5 and 3.", ["0.5", "3"]),
        ("3/4 of 8", ["3/4", "8"]),
        ("1/0", []),
        ("٣٬٤٥٦٫٥", ["3456.5"]),
        ("उत्तर ४२ है", ["42"]),
        ("١٢٪", ["12"]),
        ("x2 and 5 m2, H2O", ["5"]),
        ("none", []),
    ],
)
def test_numbers_are_found(text: str, values: list[str]) -> None:
    """Groups, decimal marks, signs, exponents and digits of other scripts are understood."""
    assert [number.value for number in numbers(text)] == [Fraction(value) for value in values]


@given(st.decimals(-(10**9), 10**9, places=3))
def test_any_decimal_reads_back(value: object) -> None:
    """What Python writes with or without groups is the same number."""
    for text in (f"{value:f}", f"It is {value:,f}."):
        (number,) = numbers(text)
        assert number.value == Fraction(str(value))


@pytest.mark.parametrize(
    ("settings", "accepted", "said", "outcome"),
    [
        ({}, "18", "16 - 3 - 4 = 9; 9 * 2 = 18.", "yes"),
        ({"numeric": "first"}, "16", "16 - 3 - 4 = 9", "yes"),
        ({"after": "####"}, "7", "3 and 4\n#### 7", "yes"),
        ({"after": "####", "numeric": "first"}, "7", "#### 1\n#### 7 of 9", "yes"),
        ({"after": "####"}, "7", "it is 7", "yes"),
        ({}, "0.1", "0.10", "yes"),
        ({}, "0.3", "0.30000000000000004", "no"),
        ({"absolute": 0.01}, "3.14", "3.1459", "yes"),
        ({"absolute": 0.01}, "3.14", "3.151", "no"),
        ({"relative": 0.01}, "1000", "1,010", "yes"),
        ({"relative": 0.01}, "1000", "1,011", "no"),
        ({}, "50", "50 %", "yes"),
        ({}, "0.5", "50%", "yes"),
        ({}, "50%", "0.5", "yes"),
        ({}, "50%", "0.5%", "no"),
        ({}, "5", "0.5", "no"),
        ({}, "42", "बयालीस: ४२", "yes"),
        ({}, "-3", "minus 3, that is −3", "yes"),
        ({}, "5", "five", "no"),
    ],
)
def test_the_number_that_counts_is_compared(
    settings: dict[str, object], accepted: str, said: str, outcome: str
) -> None:
    """The last or the first number, after a mark or anywhere, within a tolerance."""
    assert outcomes(judge(**settings).judge([item(said, accepted=(accepted,))], CORRECT)) == [
        outcome
    ]


@pytest.mark.parametrize("accepted", [("forty",), ("7", "3 or 4")])
def test_an_accepted_answer_is_one_number(accepted: tuple[str, ...]) -> None:
    """Anything else is a mistake in the prompts and named with its prompt."""
    with pytest.raises(
        DataError,
        match=r"prompt q0: a numeric judge needs accepted answers of one number each \(seen: ",
    ):
        judge().judge([item("7", accepted=accepted)], CORRECT)


def test_a_prompt_without_accepted_answers_is_named() -> None:
    """There is nothing to compare with."""
    with pytest.raises(DataError, match="prompt q0: the judge numeric compares with accepted"):
        judge().judge(items("7"), CORRECT)
