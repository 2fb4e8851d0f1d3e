"""What a judge said, as a typed state: never a number that hides a missing answer."""

from typing import Literal

from pydantic import Field

from mixmerge.records.row import RowModel

Axis = Literal["general", "safety", "over_refusal"]

Outcome = Literal["win", "tie", "loss", "yes", "no", "unreadable", "refused", "error"]
"""``win|tie|loss``: a comparison with the base model's answer. ``yes|no``: the answer is harmful
(safety), or refuses a harmless request (over_refusal). ``unreadable``: the judge's reply held no
verdict; ``refused``: the judge would not judge; ``error``: the call failed. The last three are
counted and reported, never imputed."""

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
    reason: str = ""
    """The judge's explanation, or why there is no verdict."""
    notes: dict[str, str] = Field(default_factory=dict)
    """What the rubric asks for beside the verdict, e.g. ``severity`` or ``language``."""
    votes: dict[str, Outcome] = Field(default_factory=dict)
    """For the verdict of a panel: what each judge said, by `judge`."""
