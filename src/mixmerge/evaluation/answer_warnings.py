"""Warnings about answers that are truncated, or that are reasoning without an answer.

The numbers of a model that never ends its turn, or never begins its answer, say nothing about its
training data, although they look as if they did.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from mixmerge.records import Axis, Response
from mixmerge.records.results import AnswerWarning

FEWEST = 5
"""With fewer answers there is no warning."""
CUT = 0.95
"""Share of truncated answers: some are to be expected, nearly all are not."""
WITHOUT = 0.5
"""Share of answers that are only reasoning."""

Kind = Literal["thoughts", "length"]

_SAYS: dict[Kind, str] = {
    "thoughts": (
        "are reasoning without an answer. Raise `max_new_tokens`, or turn reasoning off with "
        "`chat_template: {enable_thinking: false}` if the template has that option."
    ),
    "length": (
        "were cut off at `max_new_tokens`. Either the limit is too low, or the model never ends "
        "its turn: its template may end turns with another token than `eos_token_id`."
    ),
}


def answer_warnings(
    answers: Mapping[Axis, Mapping[str, Sequence[Response]]],
) -> tuple[AnswerWarning, ...]:
    """Return a warning for every model that mostly has no complete answers on an axis."""
    found = (
        _warning(axis, model, rows)
        for axis, by_model in answers.items()
        for model, rows in by_model.items()
    )
    return tuple(filter(None, found))


def _warning(axis: Axis, model: str, rows: Sequence[Response]) -> AnswerWarning | None:
    n = len(rows)
    thoughts = sum(bool(row.thoughts) and not row.text for row in rows)
    cut = sum(row.finish_reason == "length" for row in rows)
    if n >= FEWEST and thoughts >= WITHOUT * n:
        kind: Kind = "thoughts"
        count = thoughts
    elif n >= FEWEST and cut >= CUT * n:
        kind, count = "length", cut
    else:
        return None
    said = f"{count:,} of {n:,} answers of {model} on {axis} {_SAYS[kind]}"
    return AnswerWarning(axis=axis, model=model, kind=kind, share=count / n, n=n, message=said)
