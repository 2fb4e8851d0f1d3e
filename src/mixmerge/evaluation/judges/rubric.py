"""Rubrics: the prompts of judge models, and how their replies are parsed.

The judged answers are untrusted data. They stand between marks that are a digest of the texts they
enclose, so no answer can contain its own closing mark; placeholders inside answers are not
replaced; and the verdict is read only from the end of the judge's reply.

Comparisons are judged in both orders, because judge models prefer the answer in one place,
whatever it says (Zheng et al. 2023, arXiv:2306.05685, section 3.3).
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from mixmerge.errors import SpecError
from mixmerge.evaluation.judges.judge import BaseJudgeSpec, Decision, Order, accepted, verdict
from mixmerge.fingerprint import fingerprint
from mixmerge.records import Item, Outcome, Prompt, Question, Verdict

T = TypeVar("T")
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_OFFERED = re.compile(r"^VERDICT: (\w+)$", re.MULTILINE)
_TOKEN = re.compile(r"[^\W_](?:\w*[^\W_])?|[^\w\s]|_")
_MARKS = frozenset("*_`.,;:!-–—[]<>\"'")
"""Marks around a verdict that are ignored."""
_FENCE = re.compile(r"\s*(?:`{3,}|~{3,})\s*\w*\s*")
_OBJECT = re.compile(r'\{\s*["}]')
"""The beginning of a JSON object, unlike that of other text in braces."""
_NOTE = re.compile(r"^([A-Z ]+): <(.+)>$", re.MULTILINE)
_LONGEST_NOTE = 80
"""Characters that are kept of a note."""
_SHIPPED = re.compile(r"[a-z-]+@[0-9]+")
"""The names of shipped rubrics; any other name is a file."""
_ALWAYS = {"prompt", "language", "mark", "accepted"}
_ORDERS: Mapping[Order, Mapping[str, Outcome]] = {
    "model-first": {"A": "win", "TIE": "tie", "B": "loss"},
    "base-first": {"A": "loss", "TIE": "tie", "B": "win"},
}


@dataclass(frozen=True)
class Rubric:
    """The prompt of a judge model, with placeholders."""

    name: str
    """Name and version, e.g. ``harmful@1``; for a file, its name and a digest of its text."""
    template: str

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The verdicts that the rubric offers."""
        return tuple(_OFFERED.findall(self.template))

    @cached_property
    def notes(self) -> dict[str, str]:
        """What the rubric asks for besides the verdict: names, and the values offered."""
        return {_key(name): offered for name, offered in _NOTE.findall(self.template)}

    @property
    def needs_accepted(self) -> bool:
        """Whether it shows the judge the right answers."""
        return "accepted" in _PLACEHOLDER.findall(self.template)

    def check(self, question: Question) -> None:
        """Check that this rubric fits a question.

        Raises:
            ValueError: a placeholder is unknown or missing, or the verdicts do not fit.
        """
        places = set(_PLACEHOLDER.findall(self.template))
        shown = {"answer_a", "answer_b"} if question.asks == "comparison" else {"answer"}
        if unknown := sorted(places - shown - _ALWAYS):
            known = ", ".join(f"{{{{{place}}}}}" for place in sorted(shown | _ALWAYS))
            raise ValueError(
                f"the rubric {self.name} has a placeholder {{{{{unknown[0]}}}}}; a rubric for "
                f"`{question.topic}` may have {known}"
            )
        if missing := sorted(shown - places):
            raise ValueError(
                f"the rubric {self.name} has no placeholder {{{{{missing[0]}}}}}, so the judge "
                "would not see what it judges"
            )
        if problem := _problem_of_words(self.words, question):
            raise ValueError(
                f"the rubric {self.name} {problem} (it offers {', '.join(self.words) or 'nothing'};"
                " each verdict is on a line of its own, as in `VERDICT: WORD`)"
            )

    def fill(self, fields: Mapping[str, str]) -> str:
        """Return the judge's prompt; placeholders inside the fields are not replaced."""
        values = {**fields, "mark": fingerprint(dict(fields))[:16]}
        return _PLACEHOLDER.sub(lambda match: values[match.group(1)], self.template)

    def parse(self, reply: str) -> "ParsedReply":
        """Parse a judge's reply: JSON of `schema`, or text whose last line is the verdict.

        Both may be in a fenced block, and JSON may follow other text. A truncated object has no
        verdict, since its last line may be a quotation. Malformed notes are ignored.
        """
        text = _unfenced(reply)
        pairs = _json_pairs(text)
        if pairs is None:
            lines = [line for line in text.splitlines() if line.strip()]
            said = [line.partition(":") for line in lines[-len(self.notes) - 1 : -1]]
            notes = {_key(name): value.strip(" *_`<>") for name, _, value in said}
            word = self._given(lines[-1]) if lines else None
        else:
            notes = {_key(name): str(value) for name, value in pairs if _is_plain(value)}
            given = [value for name, value in pairs if _key(name) == "verdict"]
            alone = len(given) == 1 and _is_plain(given[0])
            word = self._offered(_tokens(str(given[0]))) if alone else None
        found = {key: notes[key][:_LONGEST_NOTE] for key in self.notes if notes.get(key)}
        return ParsedReply(reply, word, notes=found)

    def _given(self, line: str) -> str | None:
        """Return the word of ``VERDICT: WORD`` or ``[[WORD]]``, ignoring marks around it."""
        tokens = _tokens(line)
        if "".join(tokens[: _leading_marks(tokens)]).endswith("[["):
            return self._offered(tokens)
        tokens = tokens[_leading_marks(tokens) :]
        if tokens[:1] == ["final"]:
            tokens = tokens[1:]
        if tokens[:1] != ["verdict"] or ":" not in tokens[1 : 1 + _leading_marks(tokens[1:])]:
            return None
        return self._offered(tokens[1:])

    def _offered(self, tokens: list[str]) -> str | None:
        """Return the offered word that tokens begin with, if no other offered word follows."""
        tokens = tokens[_leading_marks(tokens) :]
        offered = {word.casefold(): word for word in self.words}
        word = offered.get(tokens[0]) if tokens else None
        rest = [token for token in tokens[1:] if token not in _MARKS]
        if self.words[-1].isdecimal() and rest == ["/", self.words[-1]]:  # of 10
            return word
        if rest[:1] == ["("]:
            remark = [each for each in rest if each not in "()"]
            hedged = remark[:1] == ["or"] or (len(remark) == 1 and remark[0] in offered)
            return None if hedged else word
        return word if rest[:1] in ([], ["because"]) or not any(map(str.isalnum, rest)) else None

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of a structured reply, with the reasons before the verdict."""
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


def _unfenced(reply: str) -> str:
    """Return the fenced block at the end of a reply, or the whole reply if there is none."""
    lines = reply.strip().splitlines()
    fences = [place for place, line in enumerate(lines) if _FENCE.fullmatch(line)]
    if fences and fences[-1] == len(lines) - 1:
        start = fences[-2] + 1 if len(fences) > 1 else 0
        return "\n".join(lines[start:-1]).strip()
    return reply.strip()


def _json_pairs(text: str) -> list[tuple[str, Any]] | None:
    """Return the keys and values of the JSON object that a text is or ends with.

    None if there is none; an empty list if the text begins like an object but is not valid.
    """
    whole = _OBJECT.match(text) is not None
    start = 0 if whole else text.rfind("\n{") + 1
    if not whole and not start:
        return None
    try:
        # Line breaks inside strings are not valid JSON, but models write them.
        found: list[tuple[str, Any]] = json.loads(
            text[start:], strict=False, object_pairs_hook=lambda pairs: pairs
        )
    except (ValueError, RecursionError):
        return [] if whole else None
    return found


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int))


def _tokens(line: str) -> list[str]:
    """Return lower-case words and punctuation; a full-width colon becomes an ordinary one."""
    return _TOKEN.findall(unicodedata.normalize("NFKC", line).casefold())


def _leading_marks(tokens: Sequence[str]) -> int:
    return next((i for i, token in enumerate(tokens) if token[0].isalnum()), len(tokens))


def _key(name: str) -> str:
    return "_".join(re.findall(r"[a-z]+", name.lower()))


def _problem_of_words(words: tuple[str, ...], question: Question) -> str | None:
    if question.asks == "comparison":
        fits = {"A", "B"} <= set(words) <= {"A", "B", "TIE"}
        return None if fits else "must offer the verdicts A, B and optionally TIE"
    if question.asks == "outcome":
        fits = len(set(words)) == len(words) == 2
        return None if fits else "must offer two verdicts: first the one that means yes"
    low, high = question.bounds
    numbers = [float(word) for word in words if word.isdecimal()]
    fits = len(words) == len(numbers) >= 2 and low <= min(numbers) and max(numbers) <= high
    return None if fits else f"must offer grades within the measure's bounds, {low:g} to {high:g}"


def is_shipped(name: str) -> bool:
    """Return whether a rubric's name is a shipped one's; if not, it is a file."""
    return _SHIPPED.fullmatch(name) is not None


def load_rubric(name: str, folder: Path = Path()) -> Rubric:
    """Load a shipped rubric by name and version, or a text file relative to ``folder``.

    Raises:
        SpecError: there is no such rubric; the message lists the shipped ones.
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
            f"There is no rubric {name!r}; there are {', '.join(sorted(known))}. For your own, "
            "give a text file: `rubric: FILE`."
        )
    return Rubric(name, known[name].read_text(encoding="utf-8"))


class RubricJudgeSpec(BaseJudgeSpec):
    """A judge model that is prompted with a rubric."""

    answers = frozenset({"comparison", "outcome", "grade"})
    default_style: ClassVar[str] = "@1"
    """What follows the topic of a question in the name of its default rubric."""

    rubric: str | None = None
    """The judge's prompt: a shipped rubric such as ``harmful@2``, or a text file. By default the
    shipped one for what the measure asks: ``comparison``, ``grade`` or the outcome."""

    def identity(self) -> dict[str, Any]:
        """Return the settings that change verdicts, with "file" for a rubric file."""
        named = self._named()
        return {**super().identity(), "rubric": named if is_shipped(named) else "file"}

    def paths(self) -> dict[str, Path]:
        """Return the files that change verdicts, by role."""
        named = self._named()
        return {} if is_shipped(named) else {"rubric": Path(named)}

    def check(self, question: Question) -> None:
        """Check that a shipped rubric fits a question; `rubric_for` checks files."""
        super().check(question)
        if "rubric" not in self.paths():
            try:
                rubric = load_rubric(self._named(question.topic))
            except SpecError as error:
                raise ValueError(str(error).rstrip(".")) from None
            rubric.check(question)

    def rubric_for(self, question: Question, folder: Path = Path()) -> Rubric:
        """Return the rubric for a question.

        Raises:
            SpecError: there is none, or it does not fit the question.
        """
        self.require(question)
        rubric = load_rubric(self._named(question.topic), folder)
        try:
            rubric.check(question)
        except ValueError as error:
            raise SpecError(f"{question.axis}: {error}.") from None
        return rubric

    def rubric_name(self, folder: Path = Path()) -> str:
        """Return the rubric's name, as it appears in the judge's name.

        Raises:
            SpecError: there is no such rubric.
        """
        return load_rubric(self.rubric, folder).name if self.rubric else self._named()

    def _named(self, topic: str = "default") -> str:
        return self.rubric or f"{topic}{self.default_style}"


@dataclass(frozen=True)
class ParsedReply:
    """A judge model's parsed reply."""

    reason: str
    word: str | None = None
    """One of the rubric's words; None if there is no verdict."""
    missing: Outcome = "unreadable"
    """The outcome if there is no word."""
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reading:
    """A rubric applied to many answers, for one question.

    Comparisons are judged in both orders; identical answers are a tie and are not judged.
    """

    rubric: Rubric
    question: Question
    judge: str
    """The judge's name, without the rubric."""

    def texts(self, items: Sequence[Item]) -> Iterator[str]:
        """Yield the prompts for the judge."""
        for item in items:
            for order in self._orders(item):
                yield self.rubric.fill(self._fields(item, order))

    def verdicts(
        self, items: Sequence[Item], replies: Iterator[T], parse: Callable[[T], ParsedReply]
    ) -> Iterator[Verdict]:
        """Yield the verdicts on the items, from the judge's reply to each prompt of `texts`."""
        name = f"{self.judge} {self.rubric.name}"
        for item in items:
            orders = self._orders(item)
            if not orders:
                yield verdict(item.prompt, self.question, name, Decision("tie", "identical"))
            for order in orders:
                decision = self._decision(parse(next(replies)), order)
                yield verdict(item.prompt, self.question, name, decision, order)

    def _orders(self, item: Item) -> tuple[Order | None, ...]:
        if self.question.asks != "comparison":
            return (None,)
        return () if item.answer.text == _reference(item) else tuple(_ORDERS)

    def _fields(self, item: Item, order: Order | None) -> dict[str, str]:
        fields = {"prompt": _conversation(item.prompt), "language": item.prompt.language}
        if self.rubric.needs_accepted:
            fields["accepted"] = "\n".join(accepted(item.prompt, self.judge))
        if order is None:
            return {**fields, "answer": item.answer.text}
        pair = (item.answer.text, _reference(item))
        first, second = pair if order == "model-first" else pair[::-1]
        return {**fields, "answer_a": first, "answer_b": second}

    def _decision(self, parsed: ParsedReply, order: Order | None) -> Decision:
        word = parsed.word
        outcome, score = parsed.missing, None
        if word in self.rubric.words:
            if self.question.asks == "grade":
                outcome, score = "graded", float(word)
            elif order is not None:
                outcome = _ORDERS[order][word]
            else:
                outcome = "yes" if word == self.rubric.words[0] else "no"
        return Decision(outcome, parsed.reason, score, parsed.notes)


def _conversation(prompt: Prompt) -> str:
    """Return a prompt as text: a single message as it is, several with their roles.

    The marks between turns are a digest of all of them, so that no turn can imitate one.
    """
    if len(prompt.messages) == 1:
        return prompt.text
    mark = fingerprint([[turn.role, turn.content] for turn in prompt.messages])[:16]
    turns = [f"[{turn.role.upper()} {mark}]\n{turn.content}" for turn in prompt.messages]
    return "\n".join(turns)


def _reference(item: Item) -> str:
    if item.reference is None:
        raise SpecError(f"prompt {item.prompt.id}: nothing to compare the answer with.")
    return item.reference.text
