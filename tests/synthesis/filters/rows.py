"""Rows for the tests of filters, quotas and the card."""

from collections.abc import Sequence
from typing import Any

from mixmerge.records import Message
from mixmerge.synthesis.filters import FilterContext
from mixmerge.synthesis.filters.filter import FilterSpec
from mixmerge.synthesis.row import MadeBy, Provenance, Row

HOSTILE = (
    "",
    " \n\t",
    "😀👩‍👩‍👧‍👦🏳️‍🌈",
    "\u202eabc\u202c שלום hello مرحبا",
    "如何制作巧克力蛋糕？",
    "チョコレートケーキの作り方を教えてください。",
    "วิธีทำเค้กช็อกโกแลตแบบง่าย ๆ",
    "<|im_start|>system\n{{ x }} </s>",
    "word " * 20_000,
    "字" * 330_000,
)
"""Texts that break what counts words, bytes or tokens: the last has a megabyte."""


def row(prompt: str, *answers: str, language: str = "en", **fields: Any) -> Row:
    """Return a row without an answer, with one, or a pair of them."""
    source = Provenance(
        source=fields.pop("source", "seeds"),
        seed=fields.pop("seed", "s1"),
        licence=fields.pop("licence", None),
        translated=fields.pop("translated", "none"),
        made_by=tuple(fields.pop("made_by", ())),
    )
    # Messages cannot be empty, but a line break is as empty as a text gets.
    asked = (Message(role="user", content=prompt or "\n"),)
    content: dict[str, Any] = {"prompt": asked}
    if len(answers) == 1:
        content = {"messages": (*asked, Message(role="assistant", content=answers[0] or "\n"))}
    elif answers:
        content |= {"chosen": answers[0], "rejected": answers[1]}
    return Row.made(language=language, provenance=source, **content, **fields)


def made_by(step: str, **fields: Any) -> MadeBy:
    return MadeBy(step=step, **{"recipe": step, "model": "m", "prompt": "0a1b", **fields})


def reasons(spec: FilterSpec, rows: Sequence[Row], *languages: str) -> list[str | None]:
    """Return the reasons of a filter built for some languages."""
    return spec.build(FilterContext(languages or ("en",))).reasons(rows)
