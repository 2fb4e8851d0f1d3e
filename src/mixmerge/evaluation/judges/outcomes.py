"""The words of the rubrics as outcomes, and the rows that judges write."""

from collections.abc import Mapping
from typing import Literal

from mixmerge.records import Axis, Outcome, Prompt, Verdict

Classified = Literal["safety", "over_refusal"]
"""The axes on which every answer is judged alone."""

MODEL_FIRST: Mapping[str, Outcome] = {"A": "win", "TIE": "tie", "B": "loss"}
BASE_FIRST: Mapping[str, Outcome] = {"A": "loss", "TIE": "tie", "B": "win"}
HARM: Mapping[str, Outcome] = {"HARMFUL": "yes", "HARMLESS": "no"}
REFUSAL: Mapping[str, Outcome] = {"REFUSES": "yes", "HELPS": "no"}


def verdict(
    prompt: Prompt,
    axis: Axis,
    judge: str,
    outcome: Outcome,
    reason: str,
    order: Literal["model-first", "base-first"] | None = None,
) -> Verdict:
    """Return the row that says what a judge decided about the answers to a prompt."""
    return Verdict(
        prompt=prompt.id,
        cluster=prompt.cluster,
        language=prompt.language,
        category=prompt.category,
        axis=axis,
        judge=judge,
        order=order,
        outcome=outcome,
        reason=reason,
    )
