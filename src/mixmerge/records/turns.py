"""Read messages in the forms of common data sets; report keys that are not read."""

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mixmerge import json_text
from mixmerge.spec_model import shown

PROMPTS = ("instruction", "question", "query", "input")
"""Names of the column of the user's text in common formats, beside ``prompt``."""
_ABOUT = {
    "instruction": ("input", "context"),
    "prompt": ("input", "context"),
    "question": ("context",),
    "query": ("context",),
}
"""Columns that an instruction refers to, such as Alpaca's ``input`` and Dolly's ``context``: they
are part of the prompt."""
_ROLES = {
    **dict.fromkeys(("human", "prompter"), "user"),
    **dict.fromkeys(("gpt", "model", "bot", "chatbot", "ai"), "assistant"),
}
"""Other names of roles; ``from`` and ``value`` for ``role`` and ``content`` are ShareGPT's."""
_WEIGHTS = ("weight", "train", "training", "loss", "loss_weight")
"""Names of the key that says whether a turn is trained on."""
_CALLS = ("tool_calls", "function_call", "tool_call_id")
_LIKE_MESSAGES = re.compile(
    r"""\s*[\[({](?=.*['"](role|from)['"]\s*:)(?=.*['"](content|value)['"]\s*:).*[\])}]\s*""",
    re.DOTALL,
)


class Turns(list[dict[str, Any]]):
    """Turns with ``role`` and ``content``, and ``weight`` where it is 0.

    ``unread`` names the keys of messages that have a value and are not read.
    """

    def __init__(self) -> None:
        super().__init__()
        self.unread: set[str] = set()


def columns_of_prompt(named: str | list[str], row: Mapping[str, Any]) -> list[str]:
    """Return the columns of a row that hold the user's text.

    An instruction is joined with the text that it refers to, unless a list names the columns.
    """
    if isinstance(named, list):
        return named
    about = _ABOUT.get(named, ()) if isinstance(row.get(named), str) else ()
    return [named, *(name for name in about if isinstance(row.get(name), str) and row[name])]


def joined(columns: Sequence[str], cells: Sequence[Any]) -> str:
    """Return the texts of several columns, parted by an empty line; empty ones are left out.

    Raises:
        ValueError: a value is not text.
    """
    texts = [cell for cell in cells if cell is not None]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError(f"the columns {', '.join(columns)} must hold texts to be joined")
    return "\n\n".join(filter(None, texts))


def from_text(column: str, value: Any) -> Any:
    """Return the messages in a text of JSON or Python literals; return other values as they are.

    Raises:
        ValueError: the text looks like messages and cannot be parsed.
    """
    if not isinstance(value, str) or not _LIKE_MESSAGES.fullmatch(value):
        return value
    try:
        read = json_text.parse(value)
    except ValueError:
        try:
            read = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            raise ValueError(
                f"`{column}` holds messages as a text that is neither JSON nor Python (seen: "
                f"{shown(value)}); write it as JSON"
            ) from None
    read = list(read) if isinstance(read, tuple) else read
    first = read[0] if isinstance(read, list) and read else read
    return read if _names(first) else value


def read_turns(column: str, value: Any) -> Turns:
    """Read messages: a list of them, a single one, or either as text.

    Raises:
        ValueError: there is no message, or one calls tools, has no text, or has a weight other than
            0 and 1.
    """
    value = from_text(column, value)
    turns = Turns()
    for message in value if isinstance(value, list) else [value]:
        turns.append(_turn(column, message, turns.unread))
    return turns


def _names(message: Any) -> tuple[str, ...]:
    """Return the keys of a message's role and content; empty if it is not a message."""
    pairs = (("role", "content"), ("from", "value"))
    keys = set(message) if isinstance(message, dict) else set()
    return next((pair for pair in pairs if {*pair} <= keys), ())


def _turn(column: str, message: Any, unread: set[str]) -> dict[str, Any]:
    names = _names(message)
    if not names:
        raise ValueError(
            f"`{column}` must be a list of messages with `role` and `content` (seen: "
            f"{shown(message)})"
        )
    for key in _CALLS:
        if message.get(key):
            raise ValueError(
                f"`{column}` has a message with `{key}`: calls of tools are not read: "
                "leave such rows out, or say `broken: drop`"
            )
    role, content = (message[name] for name in names)
    role = _ROLES.get(role.lower(), role.lower()) if isinstance(role, str) else role
    turn = {"role": role, "content": _content(column, content)}
    weight = _weight(column, message)
    if not weight and role == "assistant":
        turn["weight"] = 0
    read = {*names, *_WEIGHTS}
    unread |= {f"{column}[].{key}" for key, each in message.items() if each and key not in read}
    return turn


def _content(column: str, content: Any) -> Any:
    """Return the text; of a list of parts, that of its only part."""
    if not isinstance(content, list):
        return content
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    if len(content) != 1 or not isinstance(texts[0] if texts else None, str):
        raise ValueError(
            f"`{column}` has a content of {len(content)} parts where one text is required (seen: "
            f"{shown(content)})"
        )
    return texts[0]


def _weight(column: str, message: Mapping[str, Any]) -> int:
    """Return 1 if a message is trained on, else 0."""
    for key in _WEIGHTS:
        value = message.get(key)
        if value is None:
            continue
        if value not in (0, 1, "0", "1"):
            raise ValueError(
                f"`{column}` has a message with `{key}: {shown(value)}`; a turn is trained on "
                "(1) or not (0)"
            )
        return int(value)
    return 1
