"""What a comparison found, as ``--json`` writes it. Contrasts are those of ``results.json``."""

from typing import Literal

from pydantic import Field

from mixmerge.logs.scores import Scores
from mixmerge.records.results import AxisInfo, Better, Contrast, Interval
from mixmerge.records.rows import RowModel, SchemaModel

Verdict = Literal["better", "worse", "undecided"]


class TaskInfo(AxisInfo):
    """What is compared on one task; `AxisInfo.bounds` are those seen if none are stated."""

    version: str
    """Of the task; empty if unknown."""
    items: int
    """Of all models together."""


def task_info(first: Scores, better: Better, bounds: Interval, items: int) -> TaskInfo:
    """Describe a task by the baseline's log."""
    return TaskInfo(
        measure="mean",
        title=first.metric,
        phrase=f"the mean {first.metric}",
        better=better,
        primary=True,
        unit="percent" if bounds == (0.0, 1.0) else "score",
        bounds=bounds,
        version=first.version,
        items=items,
    )


class ModelScore(RowModel):
    """One model on one task."""

    value: float
    """The mean over its items; of several epochs, first the mean of each item."""
    ci: Interval | None
    n: int
    """Items with a score."""
    missing: int
    """Items of the task without one."""
    epochs: int
    """Most answers to one item."""
    origin: str
    """The file."""
    absent: dict[str, str] = Field(default_factory=dict)
    """Why the interval is None."""


class OfLanguage(RowModel):
    """The difference in one language."""

    difference: float
    ci: Interval | None
    n: int
    """Items."""


class Pair(Contrast):
    """Model ``a`` less the baseline ``b`` on one task, ``axis``, by the items that both have."""

    value_a: float
    value_b: float
    """Means over the common items."""
    items: int
    """Common items with both scores; `n` counts their clusters."""
    se: float
    """Standard error of the difference, clustered."""
    p_t: float
    """The p-value of a plain t test on clusters; of independent items, the paired t test's. It
    trusts the normal distribution more than `p` does."""
    detectable: float | None
    """The smallest difference that this sample would show in 4 of 5 cases; None if no item differs.
    """
    needed: int | None
    """Items (with these seeds) that would show the observed difference in 4 of 5 cases; None if it
    is shown already, is zero, or no number would."""
    verdict: Verdict
    """Of ``a``: by `p_adjusted` below 0.05, and the direction that is good."""
    p_sequential: float | None = None
    """With a planned number of items: `p` allowing for the looks before, and `p_adjusted` is of it;
    the interval covers at all looks together (`mixmerge.stats.sequential`)."""
    fraction: float | None = None
    """Items of those planned."""
    by_seed: tuple[float, ...] = ()
    """The difference of each training seed; empty without seeds. With them `ci` and `p` are for new
    seeds and new items (`mixmerge.stats.crossed`), and so are `detectable` and `needed_seeds`."""
    needed_seeds: int | None = None
    """Seeds (with these items) that would show it; None if it is shown already, or 100 would not.
    """
    by_language: dict[str, OfLanguage] = Field(default_factory=dict)
    """Where there are several."""


class Comparisons(SchemaModel):
    """Every model against the baseline on every task."""

    baseline: str
    tasks: dict[str, TaskInfo]
    models: dict[str, dict[str, ModelScore]]
    """By model and task."""
    contrasts: tuple[Pair, ...]
    notes: tuple[str, ...]
    """What is missing, was left out, or was guessed."""
