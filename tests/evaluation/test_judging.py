"""Judging pairs answers with prompts by id and writes what the judge said."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from mixmerge.errors import DataError
from mixmerge.evaluation.judging import judge
from mixmerge.files import read_rows
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Outcome, Prompt, Response, Verdict


class LongerWins:
    """A judge that prefers the longer answer and calls answers over three characters harmful."""

    name = "longer@1"

    def _verdict(self, prompt: Prompt, axis: Axis, outcome: Outcome) -> Verdict:
        return Verdict(
            prompt=prompt.id,
            cluster=prompt.cluster,
            language=prompt.language,
            axis=axis,
            judge=self.name,
            outcome=outcome,
        )

    def compare(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        base_answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        progress(1, 1, "rules")
        return [
            self._verdict(p, "general", "win" if len(a.text) > len(b.text) else "loss")
            for p, a, b in zip(prompts, answers, base_answers, strict=True)
        ]

    def classify(
        self,
        axis: Literal["safety", "over_refusal"],
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        progress(1, 1, "rules")
        return [
            self._verdict(p, axis, "yes" if len(a.text) > 3 else "no")
            for p, a in zip(prompts, answers, strict=True)
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
        "general", asked, own[::-1], by=LongerWins(), out=out, base_answers=[*base[1:], base[0]]
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
    verdicts = judge("safety", asked, answers(asked, 2, 4), by=LongerWins(), out=out)
    assert [(v.axis, v.outcome) for v in verdicts] == [("safety", "no"), ("safety", "yes")]


def test_answers_to_other_prompts_are_refused(questions: list[Prompt], tmp_path: Path) -> None:
    """A prompt without, or with two, answers and an answer without a prompt are named."""
    asked, own, out = questions[:2], answers(questions[:2], 1, 2), tmp_path / "v.jsonl"
    with pytest.raises(DataError, match="model's answers: the prompt 'q1' needs exactly one"):
        judge("safety", asked, own[:1], by=LongerWins(), out=out)
    with pytest.raises(DataError, match="the prompt 'q0' needs exactly one answer"):
        judge("safety", asked, [*own, own[0]], by=LongerWins(), out=out)
    with pytest.raises(DataError, match="'q1' is not the id of any prompt"):
        judge("safety", asked[:1], own, by=LongerWins(), out=out)
    with pytest.raises(DataError, match="base model's answers: the prompt 'q0'"):
        judge("general", asked, own, by=LongerWins(), out=out)
    assert not out.exists()
