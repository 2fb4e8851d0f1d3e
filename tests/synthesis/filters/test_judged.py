"""Refusals and toxic texts, by a rule, a pattern or a classifier."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.synthesis.filters.rows import reasons, row

from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.judges.classifier import is_cut
from mixmerge.progress import Progress, silent
from mixmerge.records import Item, Question, Verdict
from mixmerge.synthesis.filters import FilterContext
from mixmerge.synthesis.filters.refusal import Refusal, RefusalSpec
from mixmerge.synthesis.filters.toxicity import Toxicity, ToxicitySpec
from mixmerge.testbed.judge import RuleJudge

CANNOT = {"regex": "(?i)^(i can.?t|sorry)"}
ROWS = [
    row("Q", "I can't help with that."),
    row("Q", "Sure: first, boil water."),
    row("Q"),
    row("Q", "Sorry, no.", "Sure, here."),
    row("Q", "Sure, here.", "Sorry, no."),
]


def refusal(wanted: str, judge: dict[str, Any]) -> RefusalSpec:
    return RefusalSpec.model_validate({"refusal": wanted, "judge": judge})


def test_refusals_are_dropped_or_kept() -> None:
    """Of a pair, the preferred answer counts; a row without an answer is kept and counted."""
    dropped = reasons(refusal("drop", CANNOT), ROWS)
    assert dropped == ["refusal: found: I can't", None, None, "refusal: found: Sorry", None]
    kept = reasons(refusal("keep", CANNOT), ROWS)
    assert kept == [None, "no refusal", None, None, "no refusal"]
    judge = refusal("drop", CANNOT).build(FilterContext(["en"]))
    judge.reasons(ROWS)
    assert judge.unread == {"no answer to judge": 1}
    judge.reasons(ROWS[:2])
    assert not judge.unread


def test_the_testbeds_rules_recognize_refusals() -> None:
    """The testbed's refusals are found in its languages."""
    spec = refusal("drop", {"rules": "testbed"})
    from mixmerge.testbed.data import preference_pairs

    pairs = preference_pairs("safety", ["en", "hi"])[:20]
    rows = [row(p.prompt_text, p.chosen, p.rejected, language=p.language) for p in pairs]
    context = FilterContext(["en"], rule_judges={"testbed": RuleJudge()})
    assert all(spec.build(context).reasons(rows))
    with pytest.raises(SpecError, match=r"no rules 'testbed' \(known: none\)"):
        spec.build(FilterContext(["en"]))


class Scripted:
    """A judge with a probability for each text, which may be cut or unreadable."""

    name = "scripted@1"

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        del progress
        assert question.outcome in ("toxic", "refused")
        return [
            Verdict(
                prompt=item.prompt.id, cluster="c", language="en", axis="a", judge=self.name,
                outcome="unreadable" if item.answer.text == "?"
                else "yes" if "vile" in item.answer.text else "no",
                reason="yes 0.100 (read 32 of 99 tokens)" if "long" in item.answer.text else "",
            )
            for item in items
        ]  # fmt: skip


def test_toxic_texts_are_named() -> None:
    """Prompt and answer are judged alone; the rejected answer of a pair may be toxic."""
    rows = [
        row("A vile question", "fine"),
        row("fine", "A vile answer"),
        row("fine", "fine", "A vile answer"),
        row("vile", "vile"),
        row("long", "long vile"),
    ]
    both = Toxicity("both", Scripted())
    assert both.reasons(rows) == [
        "toxic prompt",
        "toxic answer",
        None,
        "toxic prompt",
        "toxic answer: yes 0.100 (read 32 of 99 tokens)",
    ]
    assert both.unread == {"only the beginning of the prompt was read": 1}
    assert Toxicity("answer", Scripted()).reasons(rows[:1]) == [None]
    assert Toxicity("prompt", Scripted()).reasons(rows[1:2]) == [None]


def test_a_judge_that_cannot_say_is_an_error() -> None:
    """A text without a verdict is neither kept nor dropped in silence."""
    with pytest.raises(DataError, match=r"scripted@1 does not say whether .* toxic \(unreadable"):
        Toxicity("prompt", Scripted()).reasons([row("?")])
    with pytest.raises(DataError, match="does not say whether its answer is refused"):
        Refusal("drop", Scripted()).reasons([row("Q", "?")])


def test_cut_readings_are_recognised() -> None:
    """As the classifier writes them, and nothing else."""
    assert is_cut("yes 0.500 (read 32 of 40 tokens)")
    assert not is_cut("yes 0.500")
    assert not is_cut("found: (read 32 tokens)!")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"refusal": "drop", "judge": {"endpoint": "http://x/v1", "model": "m"}}, "judge has one"),
        ({"refusal": "drop"}, "judge"),
        ({"refusal": "drop", "judge": {"regex": "a", "extract": True}}, "recognizes `correct`"),
    ],
)
def test_judges_that_cannot_be_used_are_refused(settings: dict[str, Any], message: str) -> None:
    """Endpoints cost money with every round, and an extracted match is no refusal."""
    with pytest.raises(ValidationError, match=message):
        RefusalSpec.model_validate(settings)


def test_a_prompt_is_classified_alone(tmp_path: Path) -> None:
    """A classifier of pairs cannot read prompts; its folder is part of what a filter reads."""
    judge = {"classifier": str(tmp_path), "labels": {"toxic": "yes", "fine": "no"}}
    with pytest.raises(ValidationError, match="the classifier needs `reads: answer`"):
        ToxicitySpec.model_validate({"toxicity": "both", "judge": judge})
    alone = ToxicitySpec.model_validate({"toxicity": "both", "judge": judge | {"reads": "answer"}})
    assert list(alone.paths().values()) == [tmp_path]
    with pytest.raises(ValidationError, match="`harmful`, `refused`, not `toxic`"):
        ToxicitySpec.model_validate({"toxicity": "answer", "judge": {"rules": "testbed"}})
