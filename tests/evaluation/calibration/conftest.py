"""A world of marked answers, and judges that are right or wrong in a chosen way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from mixmerge.evaluation.calibration.material import Material
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Item, Message, Outcome, Prompt, Question, Response, Verdict
from mixmerge.records.results import AxisInfo, Better

LANGUAGES = ("en", "fr")
QUESTIONS = 60
GOOD = "good"
"""In an answer: it is good (quality), harmful (harm), a refusal (refusals) or correct (facts)."""

ASKED = {
    "quality": Question("quality", "comparison"),
    "harm": Question("harm", "outcome", "harmful"),
    "refusals": Question("refusals", "outcome", "refused"),
    "facts": Question("facts", "outcome", "correct"),
    "style": Question("style", "grade"),
}

Preference = Callable[[str, str], Literal["A", "B", "TIE"]]
Reading = Callable[[str], Outcome]


def worth(verdict: Verdict) -> float:
    """Return what a verdict is worth, from 0 to 1."""
    return {"win": 1.0, "tie": 0.5, "loss": 0.0, "yes": 1.0, "no": 0.0}[verdict.outcome]


def info(axis: Axis) -> AxisInfo:
    """Return what results say of an axis."""
    better: Better = "lower" if axis in {"harm", "refusals"} else "higher"
    phrase = {"quality": "the win rate", "style": "the grade"}.get(
        axis, f"the share of {ASKED[axis].outcome} answers"
    )
    return AxisInfo(
        measure="any",
        title="value",
        phrase=phrase,
        better=better,
        primary=True,
        unit="percent",
        bounds=(0, 1),
        of_base=0.5 if axis == "quality" else None,
    )


def prefer_good(first: str, second: str) -> Literal["A", "B", "TIE"]:
    """Prefer the answer with the mark; what is in the wrong language is not good."""
    one, two = GOOD in first, GOOD in second
    return "TIE" if one == two else "A" if one else "B"


def is_good(text: str) -> Outcome:
    """Say whether the mark is there."""
    return "yes" if GOOD in text else "no"


@dataclass
class Scripted:
    """A judge made of two functions; counts the answers it was shown."""

    prefers: Preference = prefer_good
    reads: Reading = is_good
    name: str = "scripted@1"
    shown: int = 0

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        self.shown += len(items)
        if question.asks == "comparison":
            return [row for item in items for row in self._compared(item, question.axis)]
        return [
            self._verdict(item.prompt, question.axis, self.reads(item.answer.text))
            for item in items
        ]

    def _compared(self, item: Item, axis: Axis) -> list[Verdict]:
        assert item.reference is not None
        own, base = item.answer.text, item.reference.text
        there: dict[str, Outcome] = {"A": "win", "B": "loss", "TIE": "tie"}
        back: dict[str, Outcome] = {"A": "loss", "B": "win", "TIE": "tie"}
        return [
            self._verdict(item.prompt, axis, outcome).model_copy(update={"order": order})
            for order, outcome in (
                ("model-first", there[self.prefers(own, base)]),
                ("base-first", back[self.prefers(base, own)]),
            )
        ]

    def _verdict(self, prompt: Prompt, axis: Axis, outcome: Outcome) -> Verdict:
        return Verdict(
            prompt=prompt.id,
            cluster=prompt.cluster,
            language=prompt.language,
            category=prompt.category,
            axis=axis,
            judge=self.name,
            outcome=outcome,
            reason="out of reach" if outcome == "error" else "",
        )


def make_prompts(questions: int = QUESTIONS) -> list[Prompt]:
    return [
        Prompt(
            id=f"q{index}-{language}",
            cluster=f"q{index}",
            language=language,
            category=("money", "places")[index % 2],
            messages=(Message(role="user", content=f"{language} {index}"),),
        )
        for index in range(questions)
        for language in LANGUAGES
    ]


def make_answers(prompts: Sequence[Prompt], share: float, seed: int) -> list[Response]:
    """Return answers of which a share is good, of different lengths, each its own text."""
    rng = np.random.default_rng(seed)
    words = np.where(rng.random(len(prompts)) < share, GOOD, "poor")
    return [
        Response(
            prompt=prompt.id,
            text=f"{word} {seed} {prompt.id} " + "x" * int(length),
            finish_reason="stop",
            tokens=1,
        )
        for prompt, word, length in zip(
            prompts, words, rng.integers(40, size=len(prompts)), strict=True
        )
    ]


MakeMaterial = Callable[..., Material]


@pytest.fixture
def make_material() -> MakeMaterial:
    """Return a maker of materials: two models and the base, judged on all prompts or not yet."""

    def make(
        axis: Axis,
        judge: Scripted,
        *,
        judged: bool = False,
        shares: tuple[float, ...] = (0.4, 0.6, 0.5),
        questions: int = QUESTIONS,
    ) -> Material:
        prompts = make_prompts(questions)
        answers = {
            name: {answer.prompt: answer for answer in make_answers(prompts, share, seed)}
            for seed, (name, share) in enumerate(
                zip(("base", "first", "second"), shares, strict=True)
            )
        }
        question = ASKED[axis]
        material = Material(question, info(axis), judge, prompts, answers, "base", worth)
        if not judged:
            return material
        verdicts = {name: material.ask(judge, name, prompts) for name in material.models}
        judge.shown = 0
        return Material(question, info(axis), judge, prompts, answers, "base", worth, verdicts)

    return make
