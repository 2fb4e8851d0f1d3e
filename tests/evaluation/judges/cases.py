"""Answers to judge, and the questions that are asked about them."""

from collections.abc import Sequence
from typing import Any

from mixmerge.records import Item, Message, Prompt, Question, Response, Verdict
from mixmerge.records.judge import Asks

COMPARED = Question("general", "comparison")
HARMFUL = Question("safety", "outcome", "harmful")
REFUSED = Question("over_refusal", "outcome", "refused")
CORRECT = Question("exam", "outcome", "correct")
GRADED = Question("essay", "grade", bounds=(1, 10))


def question(asks: Asks, outcome: str = "") -> Question:
    return Question("axis", asks, outcome)


def answer(prompt: Prompt, text: str) -> Response:
    return Response(prompt=prompt.id, text=text, finish_reason="stop", tokens=1)


def item(text: str, *, reference: str | None = None, number: int = 0, **prompt: Any) -> Item:
    row = {
        "id": f"q{number}",
        "cluster": f"c{number}",
        "language": "en",
        "messages": (Message(role="user", content=f"question {number}"),),
        **prompt,
    }
    asked = Prompt.model_validate(row)
    base = None if reference is None else answer(asked, reference)
    return Item(asked, answer(asked, text), base)


def items(*texts: str, base: Sequence[str] = (), **prompt: Any) -> list[Item]:
    """Return answers to as many questions, compared with the base model's where there are any."""
    references: Sequence[str | None] = base or [None] * len(texts)
    return [
        item(text, reference=reference, number=number, **prompt)
        for number, (text, reference) in enumerate(zip(texts, references, strict=True))
    ]


def outcomes(verdicts: Sequence[Verdict]) -> list[str]:
    return [verdict.outcome for verdict in verdicts]
