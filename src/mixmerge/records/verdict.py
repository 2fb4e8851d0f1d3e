"""What a judge said, as a typed state: never a number that hides a missing answer."""

from typing import Literal, Self

from pydantic import Field, model_validator

from mixmerge.records.row import RowModel

Axis = str
"""The name that a study gives to one thing that its models are measured on."""

Outcome = Literal["win", "tie", "loss", "yes", "no", "graded", "unreadable", "refused", "error"]
"""``win|tie|loss``: a comparison with the base model's answer. ``yes|no``: whether the answer has
the outcome that the axis counts, such as being harmful or correct. ``graded``: the judge gave a
number, in `Verdict.score`. ``unreadable``: the judge's reply held no verdict; ``refused``: the
judge would not judge; ``error``: the call failed. The last three are counted and reported, never
imputed."""

MISSING: frozenset[Outcome] = frozenset({"unreadable", "refused", "error"})


class Verdict(RowModel):
    """One judgement of one answer, or of a pair of answers in one order."""

    prompt: str
    """`Prompt.id`."""
    cluster: str
    language: str
    category: str | None = None
    axis: Axis
    judge: str
    """Which judge, with the version of its rules or rubric, e.g. ``rules@1``."""
    order: Literal["model-first", "base-first"] | None = None
    """For comparisons: whose answer the judge saw first; None where the order cannot matter."""
    outcome: Outcome
    """Seen from the model under evaluation."""
    score: float | None = None
    """The grade, with the outcome ``graded`` only."""
    reason: str = ""
    """The judge's explanation, or why there is no verdict."""
    notes: dict[str, str] = Field(default_factory=dict)
    """What the rubric asks for beside the verdict, e.g. ``severity`` or ``language``."""
    votes: dict[str, Outcome] = Field(default_factory=dict)
    """For the verdict of a panel: what each judge said, by `judge`."""

    @model_validator(mode="after")
    def _has_a_score_if_graded(self) -> Self:
        if (self.outcome == "graded") != (self.score is not None):
            raise ValueError(
                "`score` belongs to the outcome `graded` and to no other "
                f"(seen: {self.outcome}, score {self.score})"
            )
        return self
