"""Read the cells of one row as a conversation, or as a prompt with two answers.

A `Shape` is one form of rows: the fields that it needs and how to read them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mixmerge.mixing.spec import Form
from mixmerge.records.transcript import read_transcript
from mixmerge.records.turns import Turns, from_text, read_turns
from mixmerge.spec_model import shown

Values = dict[str, Any]
"""A row's cells by field."""
Made = tuple[dict[str, Any], set[str]]
"""Fields of a training row, and the keys within cells that are not read."""

_ANSWERS = ("response", "content", "text", "completion", "answer")
_SCORES = ("overall_score", "score", "rating")
"""Keys of an answer and of its score in data sets with several answers per prompt."""
_TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


class LeftOutError(Exception):
    """A valid row that does not suit this form; it is left out and counted by reason."""


def is_good(label: object) -> bool:
    """Return whether a KTO label calls the answer good.

    Raises:
        ValueError: the label is neither true nor false.
    """
    said = _TRUTH.get(str(label).lower())
    if said is None:
        raise ValueError(f"`label` must be true or false (seen: {shown(label)})")
    return said


def _messages(values: Values, _: Form) -> Made:
    turns = read_turns("messages", values["messages"])
    return {"messages": _with_system(values, turns)}, turns.unread


def _labelled(values: Values, form: Form) -> Made:
    read = _messages if "messages" in values else _question_and_answer
    content, unread = read({key: values[key] for key in values if key != "label"}, form)
    turns = content["messages"]
    if not turns or turns[-1]["role"] != "assistant":
        raise ValueError("`messages` must end with the assistant's message")
    text = _text_of("answer", turns[-1])
    return {"prompt": turns[:-1], "completion": text, "label": is_good(values["label"])}, unread


def _question_and_answer(values: Values, _: Form) -> Made:
    try:
        good = "label" not in values or is_good(values["label"])
    except ValueError as error:
        raise ValueError(f"{error}; with `columns: {{label: null}}` it is not read") from None
    if not good:
        raise LeftOutError("`label` is false: not an answer to learn")
    prompt = _prompt(values["prompt"])
    before, answer = _split_answer("answer", values["answer"], prompt.unread)
    if not isinstance(answer, dict):
        text = str(answer) if type(answer) is int else answer
        answer = {"role": "assistant", "content": text}
    return {"messages": [*_with_system(values, prompt), *before, answer]}, prompt.unread


def _pair(values: Values, _: Form) -> Made:
    """Read a pair whose answers are texts, messages, or whole conversations."""
    unread: set[str] = set()
    sides = {key: values[key] for key in ("chosen", "rejected")}
    if "prompt" not in values and all(isinstance(side, str) for side in sides.values()):
        # As in Anthropic's hh-rlhf: two texts, each with the whole conversation.
        sides = {key: _whole(key, side) for key, side in sides.items()}
    before_chosen, chosen = _split_answer("chosen", sides["chosen"], unread)
    before_rejected, rejected = _split_answer("rejected", sides["rejected"], unread)
    if before_chosen != before_rejected:
        raise ValueError("`chosen` and `rejected` must answer the same turns; theirs differ")
    if not before_chosen:
        if "prompt" not in values:
            raise ValueError("there is no prompt: map `columns.prompt`")
        prompt = _prompt(values["prompt"])
        before_chosen, unread = prompt, unread | prompt.unread
    answers = {"chosen": _text_of("chosen", chosen), "rejected": _text_of("rejected", rejected)}
    return {"prompt": _with_system(values, before_chosen), **answers}, unread


def _scored(values: Values, form: Form) -> Made:
    """Read several answers with scores: take the best and, for pairs, the worst."""
    prompt = _prompt(values["prompt"])
    scored = _scored_answers(values["completions"], values.get("scores"))
    best = max(scored, key=lambda each: each[1])
    worst = min(reversed(scored), key=lambda each: each[1])
    turns = _with_system(values, prompt)
    unread = {*prompt.unread}
    if form in ("conversations", "prompts"):
        answer = {"role": "assistant", "content": best[0]}
        unread |= {"completions[] other than the best"} if len(scored) > 1 else set()
        return {"messages": [*turns, answer]}, unread
    if best[1] == worst[1]:
        raise LeftOutError("all answers have one score: none is preferred")
    unread |= {"completions[] between the best and the worst"} if len(scored) > 2 else set()
    return {"prompt": turns, "chosen": best[0], "rejected": worst[0]}, unread


def _scored_answers(answers: Any, scores: Any) -> list[tuple[str, float]]:
    key = scores if isinstance(scores, str) else None
    if isinstance(scores, list) and isinstance(answers, list) and len(scores) == len(answers):
        texts = [each if isinstance(each, str) else _first(each, _ANSWERS) for each in answers]
        pairs = list(zip(texts, scores, strict=True))
    elif isinstance(answers, list) and not isinstance(scores, list):
        names = (key,) if key else _SCORES
        pairs = [(_first(each, _ANSWERS), _first(each, names)) for each in answers]
    else:
        raise ValueError("`completions` and `scores` must be lists of the same length")
    if not pairs:
        raise ValueError("`completions` is empty")
    return [(text, _number(score)) for text, score in pairs]


def _first(answer: Any, names: tuple[str, ...]) -> Any:
    named = [answer[name] for name in names if isinstance(answer, dict) and name in answer]
    if not named:
        raise ValueError(
            f"each of `completions` must have one of the keys {', '.join(names)} (seen: "
            f"{shown(answer)})"
        )
    return named[0]


def _number(score: Any) -> float:
    try:
        return float(score)
    except (TypeError, ValueError):
        raise ValueError(f"a score must be a number (seen: {shown(score)})") from None


def _text(values: Values, _: Form) -> Made:
    return {"messages": _with_system(values, read_transcript("text", values["text"]))}, set()


def _prompt_alone(values: Values, _: Form) -> Made:
    turns = _prompt(values["prompt"])
    return {"prompt": _with_system(values, turns)}, turns.unread


def as_prompt(content: dict[str, Any], values: Values) -> dict[str, Any]:
    """Return the fields of a `TrainingPrompt`; the row's own answer is right unless others are."""
    turns, answer = content.get("prompt"), content.get("chosen")
    if turns is None:
        turns = content["messages"]
        if turns and turns[-1]["role"] == "assistant":
            turns, answer = turns[:-1], turns[-1]["content"]
    if values.get("accepted") is not None:
        accepted = _texts("accepted", values["accepted"])
    else:
        accepted = () if answer is None else (answer,)
    tests = _texts("tests", values.get("tests"))
    category = values.get("category")
    return {"prompt": turns, "accepted": accepted, "tests": tests, "category": category}


def _texts(column: str, value: Any) -> tuple[str, ...]:
    """Return one or several texts; a number is written out."""
    listed = () if value is None else value if isinstance(value, (list, tuple)) else (value,)
    if any(isinstance(each, bool) or not isinstance(each, (str, int, float)) for each in listed):
        raise ValueError(f"`{column}` must be a text or a list of texts (seen: {shown(value)})")
    return tuple(map(str, listed))


def _with_system(values: Values, turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Prepend the system message to turns that have none."""
    system = values.get("system")
    if not system or (turns and turns[0] == {"role": "system", "content": system}):
        return [*turns]
    if turns and turns[0]["role"] == "system":
        raise ValueError("the column `system` and the first message are two system messages")
    return [{"role": "system", "content": system}, *turns]


def _whole(column: str, side: str) -> Any:
    try:
        return from_text(column, read_transcript(column, side))
    except ValueError:
        return side  # an answer without a prompt


def _text_of(column: str, answer: Any) -> Any:
    if isinstance(answer, dict):
        if "weight" in answer:
            raise ValueError(f"the answer of `{column}` has a weight of 0")
        return answer["content"]
    return answer


def _split_answer(column: str, value: Any, unread: set[str]) -> tuple[list[dict[str, Any]], Any]:
    """Return the turns before the answer, and the answer, as a message or as given."""
    value = from_text(column, value)
    if not isinstance(value, (list, dict)):
        return [], value
    turns = read_turns(column, value)
    unread |= turns.unread
    if not turns or turns[-1]["role"] != "assistant":
        raise ValueError(f"`{column}` must end with the assistant's message")
    return turns[:-1], turns[-1]


def _prompt(value: Any) -> Turns:
    value = from_text("prompt", value)
    turns = value if isinstance(value, (list, dict)) else {"role": "user", "content": value}
    return read_turns("prompt", turns)


@dataclass(frozen=True)
class Shape:
    """One form of a row."""

    needs: tuple[str, ...]
    """The fields that it needs."""
    make: Callable[[Values, Form], Made]
    forms: tuple[Form, ...] = ("conversations",)
    """The forms of training rows that it can be read as."""
    may_have: tuple[str, ...] = ("system",)
    """Optional fields."""


CHECKS = ("accepted", "tests", "category")
"""Optional fields of every shape that is read as prompts: what judges check answers by."""
_ASKED: tuple[Form, ...] = ("conversations", "prompts")
_ALL: tuple[Form, ...] = (*_ASKED, "preferences", "labelled")
SHAPES = (
    Shape(("messages", "label"), _labelled, ("labelled",)),
    Shape(("prompt", "answer", "label"), _labelled, ("labelled",)),
    Shape(("messages",), _messages, _ASKED),
    Shape(("prompt", "answer"), _question_and_answer, _ASKED, may_have=("label", "system")),
    Shape(("chosen", "rejected"), _pair, _ALL, may_have=("prompt", "system")),
    Shape(("prompt", "completions"), _scored, _ALL, may_have=("scores", "system")),
    Shape(("text",), _text, _ASKED),
    Shape(("prompt",), _prompt_alone, ("prompts",)),
)
"""In order of preference: the first whose fields are all there is taken."""
