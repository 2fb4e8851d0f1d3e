"""The interface of judges (rules, a test, a model or a person) and their questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from mixmerge.progress import Progress, silent
from mixmerge.records.rows import Axis, Outcome, Prompt, Response, Verdict

Asks = Literal["comparison", "outcome", "grade"]
"""``comparison``: is the answer better than the base model's? ``outcome``: does it have a certain
outcome, such as being harmful? ``grade``: how good is it, as a number?"""

_OUTCOMES: dict[Asks, tuple[Outcome, ...]] = {
    "comparison": ("loss", "tie", "win"),
    "outcome": ("no", "yes"),
    "grade": ("graded", "no", "yes"),
}


@dataclass(frozen=True)
class Question:
    """The question about every answer of one axis; it follows from the axis's measure."""

    axis: Axis
    asks: Asks
    outcome: str = ""
    """The outcome to look for, e.g. ``harmful``; empty unless ``outcome``."""
    bounds: tuple[float, float] = (0.0, 1.0)
    """The lowest and the highest grade; a yes-or-no judge gives only these."""

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The possible outcomes, from worst to best, or from absent to present."""
        return _OUTCOMES[self.asks]

    @property
    def topic(self) -> str:
        """The question in one word: ``comparison``, ``grade`` or the outcome."""
        return self.outcome or self.asks


@dataclass(frozen=True)
class Item:
    """One answer to judge."""

    prompt: Prompt
    answer: Response
    reference: Response | None = None
    """The base model's answer to the same prompt, for comparisons."""


class Judge(Protocol):
    """Turns answers into verdicts."""

    @property
    def name(self) -> str:
        """Name and version, e.g. ``rules@1``; a new version makes old verdicts out of date."""

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        """Judge answers.

        Returns:
            The verdicts in the order of the items: one for each, or several where a comparison is
            asked in both orders or several judges speak.

        Raises:
            SpecError: the judge cannot answer this kind of question.
        """
