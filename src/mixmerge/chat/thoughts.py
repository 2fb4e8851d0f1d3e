"""Separate a model's reasoning (``<think>`` and the like) from its answer."""

import re
from typing import NamedTuple

_PAIRS = (
    *(f"<{name}>\0</{name}>" for name in ("think", "thinking", "thought", "thoughts")),
    *(f"<{name}>\0</{name}>" for name in ("reasoning", "seed:think")),
    "[THINK]\0[/THINK]",
    "<|START_THINKING|>\0<|END_THINKING|>",
    "<|begin_of_thought|>\0<|end_of_thought|>",
    "<|channel>thought\0<channel|>",
    "◁think▷\0◁/think▷",
)
_ENDS = dict(pair.split("\0") for pair in _PAIRS)
"""The closing tag of a reasoning block by its opening tag."""
_OPENING = re.compile("|".join(map(re.escape, _ENDS)))
_AT_ONCE = re.compile(rf"\s*({_OPENING.pattern})")
_ON_A_LINE = re.compile(rf"^[^\S\n]*({_OPENING.pattern})", re.MULTILINE)
_CLOSING = re.compile("|".join(map(re.escape, _ENDS.values())))
_CHANNEL = re.compile(
    r"<\|channel\|>\s*+(\w++)[^<]*+<\|message\|>(.*?)"
    r"(?:<\|end\|>|<\|return\|>|<\|call\|>|\Z)",
    re.DOTALL,
)
"""The format of gpt-oss, with reasoning and answer in separate channels."""


class SplitText(NamedTuple):
    """A model's text, separated into answer and reasoning."""

    answer: str
    thoughts: str
    closed: bool
    """False if the text ends inside a reasoning block, so that there is no answer."""


def opens_thoughts(asked: str) -> bool:
    """Return whether a prompt ends with the opening of a reasoning block, as some templates do."""
    return asked.rstrip().endswith(tuple(_ENDS))


def split_thoughts(text: str, *, opened: bool | None = None) -> SplitText:
    r"""Separate reasoning from the answer in a model's text, which includes special tokens.

    Reasoning blocks are at the beginning of the text or of a line; tags inside a sentence are
    ignored, since an answer may mention them. ``opened`` says whether the prompt has opened a
    block; if that is unknown (None), a block that is only closed counts as reasoning.

    Example:
        >>> split_thoughts("<think>\nTwo and two.\n</think>\n\nFour.").answer
        'Four.'
        >>> split_thoughts("<think>\nTwo and").closed
        False
    """
    if "<|channel|>" in text:
        return _of_channels(text)
    thoughts: list[str] = []
    rest = text
    ending = _unopened_ending(text, opened)
    if ending is not None:
        thoughts.append(text[: ending.start()])
        rest = text[ending.end() :]
    elif opened:
        return SplitText("", text.strip(), closed=False)
    kept: list[str] = []
    start, silent = 0, True
    while block := (silent and _AT_ONCE.match(rest, start)) or _ON_A_LINE.search(rest, start):
        closing = _ENDS[block[1]]
        end = rest.find(closing, block.end())
        if end < 0:
            thoughts.append(rest[block.end() :])
            return SplitText("", _joined(thoughts), closed=False)
        kept.append(rest[start : block.start()])
        silent = silent and not kept[-1].strip()
        thoughts.append(rest[block.end() : end])
        start = end + len(closing)
    answer = "".join([*kept, rest[start:]])
    return SplitText(answer.strip() if thoughts else answer, _joined(thoughts), closed=True)


def _unopened_ending(text: str, opened: bool | None) -> re.Match[str] | None:
    """Return the tag that closes a block which the text does not open."""
    if opened is False:
        return None
    ending = _CLOSING.search(text)
    if ending is None:
        return None
    before, after = text[: ending.start()], text[ending.end() :]
    if opened:
        return ending
    alone = not after.strip() or after.startswith("\n") or before.endswith("\n")
    return ending if alone and not _OPENING.search(before) else None


def _of_channels(text: str) -> SplitText:
    found = _CHANNEL.findall(text)
    answers = [body for channel, body in found if channel == "final"]
    thoughts = [body for channel, body in found if channel != "final"]
    return SplitText("".join(answers).strip(), _joined(thoughts), closed=bool(answers))


def _joined(thoughts: list[str]) -> str:
    return "\n\n".join(filter(None, map(str.strip, thoughts)))
