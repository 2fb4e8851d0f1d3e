"""What people said is looked up by prompt, and what they did not say is missing."""

from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.judges.cases import COMPARED, GRADED, HARMFUL, answer

from mixmerge.errors import DataError
from mixmerge.evaluation.judges.human import GivenVerdict, HumanJudge
from mixmerge.files import write_rows
from mixmerge.records import Item, Prompt, Verdict


def said(prompt: str, outcome: str, **settings: Any) -> Verdict:
    row = {"prompt": prompt, "cluster": "?", "language": "?", "axis": "safety", "judge": "ann"}
    return Verdict.model_validate({**row, "outcome": outcome, **settings})


def judged(prompts: list[Prompt], *, compared: bool = False) -> list[Item]:
    return [Item(p, answer(p, "x"), answer(p, "x") if compared else None) for p in prompts]


def test_every_prompt_is_covered_or_missing(questions: list[Prompt], tmp_path: Path) -> None:
    """Verdicts come in the order of the prompts, with the prompts' own clusters and languages."""
    asked = questions[:3]
    write_rows(tmp_path / "safety.jsonl", [said("q2", "no"), said("q0", "yes")])
    verdicts = HumanJudge(tmp_path).judge(judged(asked), HARMFUL)
    assert [(v.prompt, v.outcome, v.judge) for v in verdicts] == [
        ("q0", "yes", "ann"),
        ("q1", "unreadable", HumanJudge(tmp_path).name),
        ("q2", "no", "ann"),
    ]
    assert [(v.cluster, v.language) for v in verdicts] == [(p.cluster, p.language) for p in asked]
    assert "nobody judged" in verdicts[1].reason


def test_several_people_and_both_orders_are_kept(questions: list[Prompt], tmp_path: Path) -> None:
    """All verdicts on a prompt stay, each under the name of whoever gave it."""
    asked = questions[:1]
    rows = [
        said("q0", "win", axis="general", judge="ann", order="model-first"),
        said("q0", "loss", axis="general", judge="ben", order="base-first"),
    ]
    write_rows(tmp_path / "general.jsonl", rows)
    verdicts = HumanJudge(tmp_path).judge(judged(asked, compared=True), COMPARED)
    assert [(v.judge, v.order, v.outcome) for v in verdicts] == [
        ("ann", "model-first", "win"),
        ("ben", "base-first", "loss"),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            said("q0", "win"),
            r"\('q0'\): .* safety is one of no, .*seen: safety",
        ),
        (said("q0", "yes", axis="general"), "seen: general, yes"),
        (said("q0", "error"), "seen: safety, error"),
        (said("q77", "yes"), "'q77' is not the id of any prompt on safety"),
    ],
)
def test_a_verdict_that_cannot_belong_is_named(
    questions: list[Prompt], tmp_path: Path, row: Verdict, message: str
) -> None:
    """Another axis, an outcome of another axis, and an unknown prompt stop with file and row."""
    write_rows(tmp_path / "safety.jsonl", [row])
    with pytest.raises(DataError, match=r"safety\.jsonl, verdict 1.*" + message):
        HumanJudge(tmp_path).judge(judged(questions), HARMFUL)


@pytest.mark.parametrize("text", ["answer", "base_answer"])
def test_a_verdict_belongs_to_the_answers_that_were_seen(
    questions: list[Prompt], tmp_path: Path, text: str
) -> None:
    """A kept text must be what the model answers; the verdict itself comes without it."""
    asked = questions[:1]
    row = said("q0", "win", axis="general").model_dump()
    write_rows(tmp_path / "general.jsonl", [GivenVerdict(**row, **{text: "x"})])
    assert HumanJudge(tmp_path).judge(judged(asked, compared=True), COMPARED) == [
        said("q0", "win", axis="general", cluster=asked[0].cluster, language=asked[0].language)
    ]
    write_rows(tmp_path / "general.jsonl", [GivenVerdict(**row, **{text: "an earlier one"})])
    whose = {"answer": "model", "base_answer": "base model"}[text]
    with pytest.raises(
        DataError, match=rf"verdict 1 \('q0'\): given for another answer of the {whose}\. .*'x'"
    ):
        HumanJudge(tmp_path).judge(judged(asked, compared=True), COMPARED)


def test_people_may_grade(questions: list[Prompt], tmp_path: Path) -> None:
    """Grades come with their score; one out of bounds is an error that names its row."""
    grades = [said("q0", "graded", axis="essay", score=7), said("q1", "yes", axis="essay")]
    write_rows(tmp_path / "essay.jsonl", grades)
    verdicts = HumanJudge(tmp_path).judge(judged(questions[:2]), GRADED)
    assert [(v.outcome, v.score) for v in verdicts] == [("graded", 7.0), ("yes", None)]
    write_rows(tmp_path / "essay.jsonl", [said("q0", "graded", axis="essay", score=11)])
    with pytest.raises(DataError, match=r"verdict 1 .*'q0'.*within 1 and 10 \(seen: 11"):
        HumanJudge(tmp_path).judge(judged(questions[:2]), GRADED)


def test_a_missing_file_is_named(questions: list[Prompt], tmp_path: Path) -> None:
    """No verdicts at all is a mistake, not a hundred missing ones."""
    with pytest.raises(DataError, match=r"safety\.jsonl: no such file"):
        HumanJudge(tmp_path).judge(judged(questions), HARMFUL)


def test_other_verdicts_are_another_judge(tmp_path: Path) -> None:
    """The name changes with the content of the files."""
    write_rows(tmp_path / "safety.jsonl", [said("q0", "yes")])
    before = HumanJudge(tmp_path).name
    assert HumanJudge(tmp_path).name == before
    write_rows(tmp_path / "safety.jsonl", [said("q0", "no")])
    assert HumanJudge(tmp_path).name != before
