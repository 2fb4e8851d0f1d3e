"""Judging pairs answers with prompts by id and writes what the judge said."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.evaluation.judges.cases import COMPARED, GRADED, HARMFUL

from mixmerge.errors import DataError
from mixmerge.evaluation.judges.judge import Decision, verdict
from mixmerge.evaluation.judging import judge
from mixmerge.files import read_rows
from mixmerge.progress import Progress, silent
from mixmerge.records import Item, Outcome, Prompt, Question, Response, Verdict


class LongerWins:
    """A judge that prefers the longer answer and calls answers over three characters harmful."""

    name = "longer@1"

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        progress(1, 1, "rules")
        return [
            verdict(item.prompt, question, self.name, Decision(self._outcome(item, question)))
            for item in items
        ]

    def _outcome(self, item: Item, question: Question) -> Outcome:
        length = len(item.answer.text)
        if question.asks == "comparison":
            assert item.reference is not None
            return "win" if length > len(item.reference.text) else "loss"
        return "yes" if length > 3 else "no"


class Grades:
    """A judge whose grade is the length of the answer."""

    name = "length@1"

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        return [
            verdict(i.prompt, question, self.name, Decision("graded", score=len(i.answer.text)))
            for i in items
        ]


def answers(questions: list[Prompt], *lengths: int) -> list[Response]:
    return [
        Response(prompt=prompt.id, text="x" * length, finish_reason="stop", tokens=length)
        for prompt, length in zip(questions, lengths, strict=True)
    ]


def test_answers_meet_their_prompts_whatever_their_order(
    questions: list[Prompt], tmp_path: Path
) -> None:
    """Shuffled answers of model and base are compared prompt by prompt, and the rows written."""
    asked, out = questions[:3], tmp_path / "v.jsonl"
    own, base = answers(asked, 5, 1, 9), answers(asked, 4, 2, 8)
    verdicts = judge(
        COMPARED, asked, own[::-1], by=LongerWins(), out=out, base_answers=[*base[1:], base[0]]
    )
    assert [(v.prompt, v.outcome) for v in verdicts] == [
        ("q0", "win"),
        ("q1", "loss"),
        ("q2", "win"),
    ]
    assert read_rows(out, Verdict) == verdicts


def test_other_axes_need_no_base(questions: list[Prompt], tmp_path: Path) -> None:
    """Safety is judged from the model's answers alone."""
    asked, out = questions[:2], tmp_path / "v.jsonl"
    verdicts = judge(HARMFUL, asked, answers(asked, 2, 4), by=LongerWins(), out=out)
    assert [(v.axis, v.outcome) for v in verdicts] == [("safety", "no"), ("safety", "yes")]


def test_a_verdict_that_answers_another_question_is_refused(
    questions: list[Prompt], tmp_path: Path
) -> None:
    """Grades out of the measure's bounds, and outcomes of another measure, are not written."""
    asked, out = questions[:2], tmp_path / "v.jsonl"
    graded = judge(GRADED, asked, answers(asked, 1, 10), by=Grades(), out=out)
    assert (
        [row.score for row in read_rows(out, Verdict)] == [row.score for row in graded] == [1, 10]
    )
    with pytest.raises(DataError, match=r"essay, prompt 'q1', length@1: a grade .* \(seen: 11.0\)"):
        judge(GRADED, asked, answers(asked, 1, 11), by=Grades(), out=tmp_path / "w.jsonl")
    with pytest.raises(DataError, match=r"a verdict on safety is one of no, .*graded"):
        judge(HARMFUL, asked, answers(asked, 1, 2), by=Grades(), out=tmp_path / "w.jsonl")
    assert not (tmp_path / "w.jsonl").exists()


def test_answers_to_other_prompts_are_refused(questions: list[Prompt], tmp_path: Path) -> None:
    """A prompt without, or with two, answers and an answer without a prompt are named."""
    asked, own, out = questions[:2], answers(questions[:2], 1, 2), tmp_path / "v.jsonl"
    with pytest.raises(DataError, match="model's answers: the prompt 'q1' needs exactly one"):
        judge(HARMFUL, asked, own[:1], by=LongerWins(), out=out)
    with pytest.raises(DataError, match="the prompt 'q0' needs exactly one answer"):
        judge(HARMFUL, asked, [*own, own[0]], by=LongerWins(), out=out)
    with pytest.raises(DataError, match="'q1' is not the id of any prompt"):
        judge(HARMFUL, asked[:1], own, by=LongerWins(), out=out)
    with pytest.raises(DataError, match="base model's answers: the prompt 'q0'"):
        judge(COMPARED, asked, own, by=LongerWins(), out=out)
    assert not out.exists()


class Speechless:
    """A judge whose replies hold no verdict."""

    name = "mute@1"

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        said = Decision("unreadable", "I would rather not say.")
        return [verdict(item.prompt, question, self.name, said) for item in items]


def test_a_judge_without_any_verdict_is_shown_by_its_first_reply(
    questions: list[Prompt], tmp_path: Path
) -> None:
    """More prompts would not help: the message says what the judge said."""
    out = tmp_path / "v.jsonl"
    with pytest.raises(DataError, match=r"no reply of .*mute@1 .*3 unreadable.*'I would rather"):
        judge(HARMFUL, questions[:3], answers(questions[:3], 1, 2, 3), by=Speechless(), out=out)
    assert not out.exists()
