"""A panel says what most of its judges say, or all of it."""

from collections.abc import Sequence
from typing import Literal

import pytest
from tests.evaluation.judges.cases import COMPARED, GRADED, HARMFUL, items

from mixmerge.errors import SpecError
from mixmerge.evaluation.judges.judge import Decision, verdict
from mixmerge.evaluation.judges.panel import PanelJudge
from mixmerge.progress import Progress, silent
from mixmerge.records import Item, Outcome, Question, Verdict

Said = Sequence[Outcome | tuple[Outcome, Outcome]]
"""What a judge says of each prompt: once, or model first and base first."""


class Scripted:
    """A judge that says what it is told to."""

    def __init__(self, name: str, said: Said) -> None:
        self.name = name
        self._said = said

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        progress(1, 1, "rules")
        verdicts = []
        for item, said in zip(items, self._said, strict=True):
            decision = Decision("error", notes={"severity": "1"})
            row = verdict(item.prompt, question, self.name, decision)
            if isinstance(said, str):
                verdicts.append(row.model_copy(update={"outcome": said}))
                continue
            for order, outcome in zip(("model-first", "base-first"), said, strict=True):
                verdicts.append(row.model_copy(update={"order": order, "outcome": outcome}))
        return verdicts


def panel(*said: Said, keep: Literal["majority", "all"] = "majority") -> PanelJudge:
    return PanelJudge([Scripted(f"j{i}", what) for i, what in enumerate(said)], keep)


@pytest.mark.parametrize(
    ("votes", "outcome"),
    [
        (("yes", "yes", "no"), "yes"),
        (("no", "yes", "no"), "no"),
        (("yes", "no"), "unreadable"),
        (("yes", "refused", "yes"), "yes"),
        (("yes", "refused", "no"), "unreadable"),
        (("yes", "refused", "unreadable"), "unreadable"),
        (("refused", "refused", "no"), "unreadable"),
        (("yes", "yes", "error"), "error"),
        (("no",), "no"),
    ],
)
def test_more_than_half_decide(votes: tuple[Outcome, ...], outcome: Outcome) -> None:
    """Nothing less than half the panel makes a verdict, and missing votes make none."""
    (summed,) = panel(*([vote] for vote in votes)).judge(items("x"), HARMFUL)
    assert summed.outcome == outcome
    assert summed.votes == {f"j{i}": vote for i, vote in enumerate(votes)}
    assert summed.notes == {}
    assert summed.judge == panel(*([vote] for vote in votes)).name


def test_each_order_has_its_majority() -> None:
    """Orders are decided apart; a judge without orders votes in both."""
    said: list[Said] = [[("win", "loss"), "tie"], [("win", "win"), "tie"], ["loss", "win"]]
    verdicts = panel(*said).judge(items("x", "y", base=("z", "z")), COMPARED)
    assert [(v.prompt, v.order, v.outcome) for v in verdicts] == [
        ("q0", "model-first", "win"),
        ("q0", "base-first", "loss"),
        ("q1", None, "tie"),
    ]
    assert verdicts[1].votes == {"j0": "loss", "j1": "win", "j2": "loss"}


def test_all_verdicts_can_be_kept() -> None:
    """Prompt by prompt, every judge's verdict as it is."""
    verdicts = panel(["yes", "no"], ["no", "refused"], keep="all").judge(items("x", "y"), HARMFUL)
    assert [(v.prompt, v.judge, v.outcome) for v in verdicts] == [
        ("q0", "j0", "yes"),
        ("q0", "j1", "no"),
        ("q1", "j0", "no"),
        ("q1", "j1", "refused"),
    ]
    assert verdicts[0].notes == {"severity": "1"}
    assert verdicts[0].votes == {}


def test_grades_have_no_majority() -> None:
    """A panel of a graded axis must keep all verdicts; then the grades are kept as they are."""
    with pytest.raises(SpecError, match=r"essay: grades have no majority: .* use `keep: all`"):
        panel(["yes"], ["no"]).judge(items("x"), GRADED)
    verdicts = panel(["yes"], ["no"], keep="all").judge(items("x"), GRADED)
    assert [v.outcome for v in verdicts] == ["yes", "no"]


def test_a_judge_sits_once() -> None:
    """The same judge twice would decide alone."""
    with pytest.raises(SpecError, match="panel: the judge j is named twice"):
        PanelJudge([Scripted("j", []), Scripted("j", [])])


def test_progress_names_the_judge() -> None:
    """Whoever waits hears which judge is at work."""
    heard: list[str] = []
    panel(["yes"], ["no"]).judge(
        items("x"),
        HARMFUL,
        lambda done, total, what: heard.append(what),  # noqa: ARG005
    )
    assert heard == ["j0: rules", "j1: rules"]
