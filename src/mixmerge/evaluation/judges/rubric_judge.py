"""What judge models share, wherever they run: which texts they read, and what their words mean."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from mixmerge.errors import SpecError
from mixmerge.evaluation.judges.judge import BaseJudgeSpec, Decision, Order, accepted, verdict
from mixmerge.evaluation.judges.rubric import Rubric, is_shipped, load_rubric
from mixmerge.records import Item, Outcome, Question, Verdict

T = TypeVar("T")

_ORDERS: Mapping[Order, Mapping[str, Outcome]] = {
    "model-first": {"A": "win", "TIE": "tie", "B": "loss"},
    "base-first": {"A": "loss", "TIE": "tie", "B": "win"},
}


class RubricJudgeSpec(BaseJudgeSpec):
    """A judge model that reads a rubric."""

    answers = frozenset({"comparison", "outcome", "grade"})
    default_style: ClassVar[str] = "@1"
    """What follows the topic of a question in the name of its usual rubric."""

    rubric: str | None = None
    """What it is told to decide: a shipped rubric such as ``harmful@2``, or a text file. By default
    the shipped one for what the measure asks: ``comparison``, ``grade`` or the outcome."""

    def identity(self) -> dict[str, Any]:
        """Return the settings that change verdicts; a rubric of one's own counts by content."""
        named = self._named()
        return {**super().identity(), "rubric": named if is_shipped(named) else "file"}

    def paths(self) -> dict[str, Path]:
        """Return the files that change verdicts, by role."""
        named = self._named()
        return {} if is_shipped(named) else {"rubric": Path(named)}

    def check(self, question: Question) -> None:
        """Check that a shipped rubric asks a question; a file is read by `rubric_for`."""
        super().check(question)
        if "rubric" not in self.paths():
            try:
                rubric = load_rubric(self._named(question.topic))
            except SpecError as error:
                raise ValueError(str(error).rstrip(".")) from None
            rubric.check(question)

    def rubric_for(self, question: Question, folder: Path = Path()) -> Rubric:
        """Return the rubric that asks a question.

        Raises:
            SpecError: there is none, or it asks something else.
        """
        self.require(question)
        rubric = load_rubric(self._named(question.topic), folder)
        try:
            rubric.check(question)
        except ValueError as error:
            raise SpecError(f"{question.axis}: {error}.") from None
        return rubric

    def rubric_name(self, folder: Path = Path()) -> str:
        """Return the name of the rubric for the name of the judge.

        Raises:
            SpecError: there is no such rubric.
        """
        return load_rubric(self.rubric, folder).name if self.rubric else self._named()

    def _named(self, topic: str = "default") -> str:
        return self.rubric or f"{topic}{self.default_style}"


@dataclass(frozen=True)
class Heard:
    """What a judge model said about one text."""

    reason: str
    word: str | None = None
    """One of the rubric's words; None where there is no verdict."""
    missing: Outcome = "unreadable"
    """What the verdict is without a word."""
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """A rubric that is read to a judge model, for one question about many answers.

    Comparisons are read in both orders; identical answers are a tie and are not read.
    """

    rubric: Rubric
    question: Question
    judge: str
    """The judge's name, without the rubric."""

    def texts(self, items: Sequence[Item]) -> Iterator[str]:
        """Yield the texts to read, made anew each time."""
        for item in items:
            for order in self._orders(item):
                yield self.rubric.fill(self._fields(item, order))

    def verdicts(
        self, items: Sequence[Item], replies: Iterator[T], hear: Callable[[T], Heard]
    ) -> Iterator[Verdict]:
        """Yield the verdicts on the items of `texts`, from the judge's reply to each text."""
        name = f"{self.judge} {self.rubric.name}"
        for item in items:
            orders = self._orders(item)
            if not orders:
                yield verdict(item.prompt, self.question, name, Decision("tie", "identical"))
            for order in orders:
                decision = self._decision(hear(next(replies)), order)
                yield verdict(item.prompt, self.question, name, decision, order)

    def _orders(self, item: Item) -> tuple[Order | None, ...]:
        if self.question.asks != "comparison":
            return (None,)
        return () if item.answer.text == _reference(item) else tuple(_ORDERS)

    def _fields(self, item: Item, order: Order | None) -> dict[str, str]:
        fields = {"prompt": item.prompt.text, "language": item.prompt.language}
        if self.rubric.needs_accepted:
            fields["accepted"] = "\n".join(accepted(item.prompt, self.judge))
        if order is None:
            return {**fields, "answer": item.answer.text}
        pair = (item.answer.text, _reference(item))
        first, second = pair if order == "model-first" else pair[::-1]
        return {**fields, "answer_a": first, "answer_b": second}

    def _decision(self, heard: Heard, order: Order | None) -> Decision:
        word = heard.word
        outcome, score = heard.missing, None
        if word in self.rubric.words:
            if self.question.asks == "grade":
                outcome, score = "graded", float(word)
            elif order is not None:
                outcome = _ORDERS[order][word]
            else:
                outcome = "yes" if word == self.rubric.words[0] else "no"
        return Decision(outcome, heard.reason, score, heard.notes)


def _reference(item: Item) -> str:
    if item.reference is None:
        raise SpecError(f"prompt {item.prompt.id}: nothing to compare the answer with.")
    return item.reference.text
