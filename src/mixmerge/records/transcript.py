"""A conversation written as one text, with marked turns.

The markers are control tokens (ChatML, Llama, Gemma, …) and words such as ``### Human:`` anywhere
and ``User:`` at the beginning of a line. A word marks turns only if it is the first that its
speaker used, so an answer may contain ``Question:`` without being cut there.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_SPEAKERS = {
    **dict.fromkeys(("system", "<<sys>>"), "system"),
    **dict.fromkeys(("user", "human", "instruction", "question", "prompt", "q", "input"), "user"),
    **dict.fromkeys(("[inst]", "<</sys>>"), "user"),
    **dict.fromkeys(("assistant", "response", "answer", "a", "output", "model"), "assistant"),
    **dict.fromkeys(("ai", "bot", "chatbot", "gpt", "[/inst]"), "assistant"),
}
_WORDS = "|".join(sorted((w for w in _SPEAKERS if w.isalpha()), key=len, reverse=True))
_BEGINS = re.compile(r"(\s|<s>|<\|begin_of_text\|>|<bos>|<\|endoftext\|>)*")
_GOES_ON = ("input", "<</sys>>")
"""Speakers that continue the user's turn: Alpaca's input belongs to its instruction."""


class _Style(NamedTuple):
    marker: re.Pattern[str]
    """The marker before a turn; its group is the speaker."""
    end: re.Pattern[str] | None = None
    """Markers at the end of a turn, which are not part of it."""
    by_words: bool = False
    """Whether ordinary words, not control tokens, mark the turns."""


def _style(marker: str, end: str = "", *, by_words: bool = False) -> _Style:
    ends = re.compile(rf"(\s*({end}))+\s*\Z") if end else None
    return _Style(re.compile(marker, re.IGNORECASE | re.MULTILINE), ends, by_words)


_STYLES = (
    _style(r"<\|im_start\|>(system|user|assistant)[ \t]*\n", r"<\|im_end\|>|<\|endoftext\|>"),
    _style(
        r"<\|start_header_id\|>(system|user|assistant)<\|end_header_id\|>\s*",
        r"<\|eot_id\|>|<\|end_of_text\|>",
    ),
    _style(r"<start_of_turn>(user|model)\n", r"<end_of_turn>|<eos>"),
    _style(r"(\[/?INST\]|<</?SYS>>)", r"</?s>"),
    _style(r"<\|(system|user|assistant)\|>", r"</s>|<\|end\|>|<\|endoftext\|>"),
    _style(rf"#{{2,4}} *({_WORDS})\b *:?", r"</s>|<\|endoftext\|>", by_words=True),
    _style(rf"^[ \t]*(?:\*\*)?({_WORDS})(?:\*\*)? *:(?:\*\*)?", by_words=True),
)


def read_transcript(column: str, text: str) -> list[dict[str, Any]]:
    r"""Return the messages of a conversation that is written as one text.

    Text before the first speaker is the system message; whitespace around turns is removed.

    Raises:
        ValueError: no turns are marked, or one speaker has two turns in a row.

    Example:
        >>> read_transcript("text", "User: Hi\nAssistant: Hello")
        [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello'}]
    """
    found = [(style, [*_marks(style, text)]) for style in _STYLES]
    both = [each for each in found if {"user", "assistant"} <= {_role(m) for m in each[1]}]
    if both:
        # Markers of other styles are quotations within turns.
        return _turns(column, text, *min(both, key=lambda each: each[1][0].start()))
    raise ValueError(
        f"`{column}` has no turns marked by `User:` and `Assistant:` or ChatML; a training row is "
        "a conversation: put the question and the answer into two columns"
    )


def _role(mark: re.Match[str]) -> str:
    return _SPEAKERS[mark[1].lower()]


def _marks(style: _Style, text: str) -> Iterator[re.Match[str]]:
    """Yield the markers of a style; of words, only the one that each speaker uses first."""
    known: dict[str, str] = {}
    last = ""
    for mark in style.marker.finditer(text):
        word, role = mark[1].lower(), _role(mark)
        goes_on = word == "input" and last == "user"
        if not style.by_words or goes_on or known.setdefault(role, word) == word:
            last = role
            yield mark


def _turns(
    column: str, text: str, style: _Style, marks: list[re.Match[str]]
) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    before = _BEGINS.sub("", text[: marks[0].start()], count=1).strip()
    if before:
        turns.append({"role": "system", "content": before})
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    for mark, end in zip(marks, ends, strict=True):
        role, content = _role(mark), text[mark.end() : end]
        content = (style.end.sub("", content) if style.end else content).strip()
        last = turns[-1] if turns else {"role": ""}
        if mark[1].lower() in _GOES_ON and last["role"] == role:
            last["content"] = "\n\n".join(filter(None, (last["content"], content)))
        elif last["role"] == role:
            raise ValueError(
                f"`{column}`: the {role} speaks twice in a row, at {mark[0].strip()!r}: the turns "
                "of the text cannot be told apart; give them as a list of messages"
            )
        elif content or role != "user":
            turns.append({"role": role, "content": content})
    return turns
