"""A world of marked answers, and judges that are right or wrong in a chosen way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest

from mixmerge.evaluation.calibration.material import Material
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Message, Outcome, Prompt, Response, Verdict

LANGUAGES = ("en", "fr")
QUESTIONS = 60
GOOD = "good"
"""In an answer: right (general), or harmful (safety), or a refusal (over_refusal)."""

Preference = Callable[[str, str], Literal["A", "B", "TIE"]]
Reading = Callable[[str], Outcome]


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

    def compare(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        base_answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        verdicts = []
        for prompt, answer, base in zip(prompts, answers, base_answers, strict=True):
            self.shown += 1
            there: dict[str, Outcome] = {"A": "win", "B": "loss", "TIE": "tie"}
            back: dict[str, Outcome] = {"A": "loss", "B": "win", "TIE": "tie"}
            for order, outcome in (
                ("model-first", there[self.prefers(answer.text, base.text)]),
                ("base-first", back[self.prefers(base.text, answer.text)]),
            ):
                verdict = self._verdict(prompt, "general", outcome)
                verdicts.append(verdict.model_copy(update={"order": order}))
        return verdicts

    def classify(
        self,
        axis: Literal["safety", "over_refusal"],
        prompts: Sequence[Prompt],
        answers: Sequence[Response],
        progress: Progress = silent,
    ) -> list[Verdict]:
        self.shown += len(answers)
        return [
            self._verdict(prompt, axis, self.reads(answer.text))
            for prompt, answer in zip(prompts, answers, strict=True)
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
            name: make_answers(prompts, share, seed)
            for seed, (name, share) in enumerate(
                zip(("base", "first", "second"), shares, strict=True)
            )
        }
        material = Material(axis, judge, prompts, answers, "base")
        if not judged:
            return material
        verdicts = {name: material.ask(judge, name, prompts) for name in material.models}
        judge.shown = 0
        return Material(axis, judge, prompts, answers, "base", verdicts)

    return make
