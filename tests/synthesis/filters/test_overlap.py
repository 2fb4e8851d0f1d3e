"""Rows and seeds that give away a prompt of an evaluation."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.synthesis.filters.rows import HOSTILE, reasons, row

from mixmerge.errors import DataError
from mixmerge.synthesis.filters.overlap import EvaluationSet, OverlapSpec

QUESTION = "Which kinds of paint were used by the old masters of the Dutch school?"
CHINESE = "请告诉我如何用普通的家用材料制作一个漂亮的灯笼"


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    """Return a file of three evaluation prompts in two languages."""
    rows = [
        {"id": "q1", "language": "en", "prompt": QUESTION},
        {"id": "q2", "language": "zh", "prompt": CHINESE},
        {"id": "q3", "language": "en", "prompt": "Hi there"},
    ]
    path = tmp_path / "eval.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    return path


def spec(path: Path, **settings: object) -> OverlapSpec:
    return OverlapSpec.model_validate({"overlap": [str(path)], **settings})


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (QUESTION.upper(), "(equal): eval.jsonl, prompt q1-en"),
        (f"Now tell me: {QUESTION} Be brief.", "(contains): eval.jsonl, prompt q1-en"),
        (
            "Which kinds of paint were used by the old masters of the French school?",
            "(near): 0.83 of the shingles of eval.jsonl, prompt q1-en",
        ),
        (f"老师问:{CHINESE}。", "(near): 1.00 of the shingles of eval.jsonl, prompt q2-zh"),
        ("Which kinds of paint are best for a house?", None),
        ("hi there!", "(equal): eval.jsonl, prompt q3-en"),
        ("hi there, my old friend", None),
    ],
)
def test_the_prompt_and_the_way_are_named(
    evaluation: Path, prompt: str, expected: str | None
) -> None:
    """Equal, contained and reworded prompts are found, in scripts with and without spaces."""
    (found,) = reasons(spec(evaluation), [row(prompt)], "en", "zh")
    assert found == (expected and f"overlaps an evaluation prompt {expected}")


def test_near_is_the_share_of_the_evaluations_shingles(evaluation: Path) -> None:
    """The share is that of all runs of three words, and the threshold is a bound."""
    changed = "Which kinds of paint were used by the old masters of the French school?"

    def runs(text: str) -> set[tuple[str, ...]]:
        words = text.lower().rstrip("?").split()
        return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}

    share = len(runs(QUESTION) & runs(changed)) / len(runs(QUESTION))
    for near, expected in ((share, True), (share + 0.01, False), (None, False)):
        found = reasons(spec(evaluation, near=near), [row(changed)], "en", "zh")
        assert (found != [None]) == expected


def test_a_shared_run_of_words_counts_if_asked(evaluation: Path) -> None:
    """As in mixing, a run of words may be enough."""
    shared = row("I read that the old masters of the Dutch lived long")
    assert reasons(spec(evaluation, run=6), [shared], "en", "zh") == [
        "overlaps an evaluation prompt (run): eval.jsonl, prompt q1-en"
    ]
    assert reasons(spec(evaluation), [shared], "en", "zh") == [None]


def test_rows_of_another_language_overlap_too(evaluation: Path) -> None:
    """An evaluation prompt in a row that says it is French is one all the same."""
    found = reasons(spec(evaluation), [row(QUESTION, language="fr")], "en", "zh")
    assert found != [None]


def test_several_sets_are_read_in_their_own_languages(evaluation: Path, tmp_path: Path) -> None:
    """A set of one language does not need prompts in all languages of the rows."""
    english = tmp_path / "english.jsonl"
    english.write_text(json.dumps({"prompt": "Who painted the ceiling of that chapel?"}) + "\n")
    sets = [str(evaluation), {"files": str(english), "languages": ["en"]}]
    both = OverlapSpec.model_validate({"overlap": sets})
    (found,) = reasons(both, [row("who painted the ceiling of that chapel")], "en", "zh")
    assert found is not None
    assert found.startswith("overlaps an evaluation prompt (equal): english.jsonl, prompt ")
    assert [*both.paths().values()] == [evaluation, english]
    with pytest.raises(DataError, match=r"english\.jsonl, line 1: no language"):
        reasons(OverlapSpec.model_validate({"overlap": [str(english)], "words": 3}), [], "en", "zh")


def test_the_testbeds_prompts_are_a_set() -> None:
    """Its evaluation prompts overlap themselves."""
    testbed = EvaluationSet(testbed="safety")
    prompts = testbed.prompts(["en", "hi"])
    rows = [row(each.text, language=each.language) for each in prompts[:10]]
    found = reasons(OverlapSpec(overlap=[testbed]), rows, "en", "hi")
    assert all(each and "testbed safety, prompt " in each for each in found)


def test_hostile_rows_are_compared(evaluation: Path) -> None:
    """Texts of any kind and size overlap nothing by chance."""
    rows = [row(text) for text in HOSTILE]
    assert reasons(spec(evaluation), rows, "en", "zh") == [None] * len(rows)


def test_no_set_is_an_error() -> None:
    """A filter that compares with nothing would keep everything."""
    with pytest.raises(ValidationError, match="overlap"):
        OverlapSpec.model_validate({"overlap": []})
