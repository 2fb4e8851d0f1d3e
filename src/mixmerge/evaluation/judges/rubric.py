"""Rubrics: texts that say what a judge model decides, filled in and read back, wherever it runs.

What a model answered is data. It stands between marks that are a digest of the very texts they
enclose, so that no text can contain its own closing mark; placeholders inside it stay as they
are; and the verdict is read from the last line of the judge's reply only.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from mixmerge.errors import SpecError
from mixmerge.evaluation.judges.judge import BaseJudgeSpec, Decision, Order, accepted, verdict
from mixmerge.fingerprint import fingerprint
from mixmerge.records import Item, Outcome, Question, Verdict

T = TypeVar("T")
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_OFFERED = re.compile(r"^VERDICT: (\w+)$", re.MULTILINE)
_GIVEN = re.compile(r"\W*verdict\W*:\W*(\w+)\W*", re.IGNORECASE)
_NOTE = re.compile(r"^([A-Z ]+): <(.+)>$", re.MULTILINE)
_LONGEST_NOTE = 80
"""Characters of a note that are kept."""
_SHIPPED = re.compile(r"[a-z-]+@[0-9]+")
"""The form of a shipped rubric's name: anything else is a file."""
_ALWAYS = {"prompt", "language", "mark", "accepted"}
_ORDERS: Mapping[Order, Mapping[str, Outcome]] = {
    "model-first": {"A": "win", "TIE": "tie", "B": "loss"},
    "base-first": {"A": "loss", "TIE": "tie", "B": "win"},
}


@dataclass(frozen=True)
class Rubric:
    """One text."""

    name: str
    """Name and version, e.g. ``harmful@1``; of a file, its name and a digest of its text."""
    template: str

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The verdicts that the rubric offers."""
        return tuple(_OFFERED.findall(self.template))

    @cached_property
    def notes(self) -> dict[str, str]:
        """What the rubric asks for beside the verdict: names, and what may stand there."""
        return {_key(name): offered for name, offered in _NOTE.findall(self.template)}

    @property
    def needs_accepted(self) -> bool:
        """Whether it shows the judge the right answers."""
        return "accepted" in _PLACEHOLDER.findall(self.template)

    def check(self, question: Question) -> None:
        """Check that this text asks a question.

        Raises:
            ValueError: a place is unknown or missing, or the offered verdicts are others.
        """
        places = set(_PLACEHOLDER.findall(self.template))
        shown = {"answer_a", "answer_b"} if question.asks == "comparison" else {"answer"}
        if unknown := sorted(places - shown - _ALWAYS):
            known = ", ".join(f"{{{{{place}}}}}" for place in sorted(shown | _ALWAYS))
            raise ValueError(
                f"the rubric {self.name} has a place {{{{{unknown[0]}}}}}; a rubric for "
                f"`{question.topic}` may have {known}"
            )
        if missing := sorted(shown - places):
            raise ValueError(
                f"the rubric {self.name} has no place {{{{{missing[0]}}}}}, so the judge would not "
                "see what it judges"
            )
        if problem := _problem_of_words(self.words, question):
            raise ValueError(
                f"the rubric {self.name} {problem} (it offers {', '.join(self.words) or 'nothing'};"
                " each verdict stands alone on a line, as in `VERDICT: WORD`)"
            )

    def fill(self, fields: Mapping[str, str]) -> str:
        """Return the text for the judge, with every placeholder replaced once."""
        values = {**fields, "mark": fingerprint(dict(fields))[:16]}
        return _PLACEHOLDER.sub(lambda match: values[match.group(1)], self.template)

    def read(self, reply: str) -> str | None:
        """Return the verdict on the last line of a reply, or None where there is none."""
        lines = reply.strip().splitlines()
        match = _GIVEN.fullmatch(lines[-1].strip()) if lines else None
        word = match.group(1).upper() if match else None
        return word if word in self.words else None

    def read_notes(self, reply: str) -> dict[str, str]:
        """Return the notes on the lines just before the verdict; what is not there is left out.

        A note decides nothing, so one that is missing or odd makes no verdict unreadable.
        """
        lines = [line for line in reply.strip().splitlines() if line.strip()]
        said = [line.partition(":") for line in lines[-len(self.notes) - 1 : -1]]
        found = {_key(name): value.strip(" *_`<>") for name, _, value in said}
        return {key: found[key][:_LONGEST_NOTE] for key in self.notes if found.get(key)}

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of a structured reply: reasons first, so that the verdict follows."""
        text = {"type": "string"}
        properties: dict[str, Any] = {"reasons": text}
        for key, offered in self.notes.items():
            choices = offered.split(" | ")
            properties[key] = {**text, "enum": choices} if len(choices) > 1 else text
        properties["verdict"] = {**text, "enum": list(self.words)}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }


def _key(name: str) -> str:
    return "_".join(re.findall(r"[a-z]+", name.lower()))


def _problem_of_words(words: tuple[str, ...], question: Question) -> str | None:
    if question.asks == "comparison":
        fits = {"A", "B"} <= set(words) <= {"A", "B", "TIE"}
        return None if fits else "must offer the verdicts A, B and, if it likes, TIE"
    if question.asks == "outcome":
        fits = len(set(words)) == len(words) == 2
        return None if fits else "must offer two verdicts: first the one that means yes"
    low, high = question.bounds
    numbers = [float(word) for word in words if word.isdecimal()]
    fits = len(words) == len(numbers) >= 2 and low <= min(numbers) and max(numbers) <= high
    return None if fits else f"must offer grades within the measure's bounds, {low:g} to {high:g}"


def is_shipped(name: str) -> bool:
    """Say whether a rubric is one of mixmerge's by its name; else it is a file."""
    return _SHIPPED.fullmatch(name) is not None


def load_rubric(name: str, folder: Path = Path()) -> Rubric:
    """Load a rubric.

    Args:
        name: name and version of a shipped rubric, or a text file.
        folder: what a relative path is relative to.

    Raises:
        SpecError: there is no such rubric; the message lists those that are shipped.
    """
    if not is_shipped(name):
        path = (folder / name).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SpecError(f"The rubric {path} cannot be read: {error}.") from error
        return Rubric(f"{path.stem}-{fingerprint(text)[:8]}", text)
    shelf = files("mixmerge.evaluation") / "rubrics"
    known = {entry.name.removesuffix(".txt"): entry for entry in shelf.iterdir()}
    if name not in known:
        raise SpecError(
            f"There is no rubric {name!r}; there are {', '.join(sorted(known))}, and "
            "`rubric: FILE` takes a text file of your own."
        )
    return Rubric(name, known[name].read_text(encoding="utf-8"))


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
