"""Thoughts that models write before they answer, parted from the answer."""

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
"""What closes a block of thoughts, by what opens it."""
_OPENING = re.compile("|".join(map(re.escape, _ENDS)))
_AT_ONCE = re.compile(rf"\s*({_OPENING.pattern})")
_ON_A_LINE = re.compile(rf"^[^\S\n]*({_OPENING.pattern})", re.MULTILINE)
_CLOSING = re.compile("|".join(map(re.escape, _ENDS.values())))
_CHANNEL = re.compile(
    r"<\|channel\|>\s*+(\w++)[^<]*+<\|message\|>(.*?)"
    r"(?:<\|end\|>|<\|return\|>|<\|call\|>|\Z)",
    re.DOTALL,
)
"""The format of gpt-oss: thoughts and answer in channels of their own."""


class Parted(NamedTuple):
    """What a model wrote, parted."""

    answer: str
    thoughts: str
    """Empty where there are none."""
    closed: bool
    """False where the model was still thinking when it ended: there is no answer."""


def opens_thoughts(asked: str) -> bool:
    """Say whether a prompt ends inside of a block of thoughts, as some templates begin one."""
    return asked.rstrip().endswith(tuple(_ENDS))


def part(text: str, *, opened: bool | None = None) -> Parted:
    r"""Part the thoughts from an answer.

    Blocks at the beginning and blocks that begin a line are thoughts; tags inside of a sentence
    are left alone, as an answer may speak of them.

    Args:
        text: what a model wrote, with its special tokens.
        opened: whether the prompt had opened a block already; None where that is not known: then
            a block that only ends is thoughts.

    Example:
        >>> part("<think>\nTwo and two.\n</think>\n\nFour.").answer
        'Four.'
        >>> part("<think>\nTwo and").closed
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
        return Parted("", text.strip(), closed=False)
    kept: list[str] = []
    start, silent = 0, True
    while block := (silent and _AT_ONCE.match(rest, start)) or _ON_A_LINE.search(rest, start):
        closing = _ENDS[block[1]]
        end = rest.find(closing, block.end())
        if end < 0:
            thoughts.append(rest[block.end() :])
            return Parted("", _joined(thoughts), closed=False)
        kept.append(rest[start : block.start()])
        silent = silent and not kept[-1].strip()
        thoughts.append(rest[block.end() : end])
        start = end + len(closing)
    answer = "".join([*kept, rest[start:]])
    return Parted(answer.strip() if thoughts else answer, _joined(thoughts), closed=True)


def _unopened_ending(text: str, opened: bool | None) -> re.Match[str] | None:
    """Return the tag that ends thoughts which the text does not begin."""
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


def _of_channels(text: str) -> Parted:
    found = _CHANNEL.findall(text)
    answers = [body for channel, body in found if channel == "final"]
    thoughts = [body for channel, body in found if channel != "final"]
    return Parted("".join(answers).strip(), _joined(thoughts), closed=bool(answers))


def _joined(thoughts: list[str]) -> str:
    return "\n\n".join(filter(None, map(str.strip, thoughts)))
