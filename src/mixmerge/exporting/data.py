"""What is exported: the results of a study, and every item with one model's answer and score."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mixmerge.records import Axis, Prompt, Results


class Scored(NamedTuple):
    """One item of an axis, as one model answered it."""

    prompt: Prompt
    answer: str
    score: float | None
    """In the axis's units; None without a verdict."""
    reason: str
    """What the judge said."""
    judge: str


def mean_score(rows: Sequence[Scored]) -> float:
    """Return the mean of the items' scores, as harnesses report it; NaN without any."""
    known = [row.score for row in rows if row.score is not None]
    return math.fsum(known) / len(known) if known else math.nan


@dataclass(frozen=True)
class Exported:
    """A finished study."""

    results: Results
    models: list[str]
    """The models to write."""
    base: str
    """The base model as the study file names it: a folder, or a name on the hub."""
    made: str
    """When the results were computed, as ISO 8601."""
    items: Callable[[str, Axis], list[Scored]]
    """Reads the items of a model on an axis. They are in the same order for all models."""


Write = Callable[[Exported, Path], list[Path]]
"""Writes into a folder that exists; returns the files."""
