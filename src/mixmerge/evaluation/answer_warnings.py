"""Answers that are none: cut off at the limit, or thoughts without an end.

Judges judge what is there. A model that never ends its turn, or never comes to its answer, gets
numbers that look like findings about its data; `results.json` says so.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from mixmerge.records import Axis, Response
from mixmerge.records.results import AnswerWarning

FEWEST = 5
"""Answers below which a model is not accused."""
CUT = 0.95
"""Share of answers at the limit: some long answers are cut, nearly all are no chance."""
WITHOUT = 0.5
"""Share of answers that are thoughts alone."""

Kind = Literal["thoughts", "length"]

_SAYS: dict[Kind, str] = {
    "thoughts": (
        "are thoughts without an answer. Raise `max_new_tokens`, or ask for no thoughts with "
        "`chat_template: {enable_thinking: false}` where its template has that."
    ),
    "length": (
        "ran to the limit of tokens and were cut off. Either the limit is low, or the model never "
        "ends its turn: its template may end turns with another token than `eos_token_id` names."
    ),
}


def answer_warnings(
    answers: Mapping[Axis, Mapping[str, Sequence[Response]]],
) -> tuple[AnswerWarning, ...]:
    """Return a warning for every model whose answers on an axis are mostly none."""
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
