"""The parts of ``results.json`` about sweeps: over weights, and over lengths of training."""

from typing import Literal

from pydantic import Field

from mixmerge.records.rows import Axis, RowModel


class MatchedDifference(RowModel):
    """One axis of a sweep minus the baseline's, where both have the same value of another axis."""

    difference: float | None
    """None where the sweep does not reach the baseline's value."""
    ci: tuple[float, float] | None
    absent: str = ""
    """Why the interval is None."""


class Matched(RowModel):
    """A sweep of merges against the baseline of its stage at the baseline's value of one axis.

    A merge's weight moves it along a trade-off, as the data ratio moves the baseline. Compared at
    the same value of one axis, the methods do not win or lose by the choice of either.
    """

    model: str
    """The checkpoint whose sweep it is."""
    baseline: str
    axis: Axis
    """The axis on which both have the same value."""
    level: float
    """Their value on it: the baseline's."""
    differences: dict[Axis, MatchedDifference]
    """By deciding axis: the sweep, interpolated between neighbouring merges, minus the baseline."""
    sweep: dict[str, dict[Axis, float]]
    """The values of every merge of the sweep, from its first weight to its last."""


LengthDecision = Literal["same", "differs", "equivalent", "undecided"]


class LengthPoint(RowModel):
    """A model after some steps of training on one axis."""

    value: float
    ci: tuple[float, float] | None


class LengthCurve(RowModel):
    """A training, or a merge of trainings, after several numbers of steps."""

    model: str
    """The checkpoint that is trained, or that is chosen among the lengths."""
    best: int | None = None
    """The steps after which it is best on the prompts of ``selection``; None where none were
    asked, as of a training."""
    points: dict[int, dict[Axis, LengthPoint]]
    """By steps and by axis that decides or was chosen on, on the prompts of ``evaluate``."""


class LengthContrast(RowModel):
    """Two merges over steps on one axis: does more training change one otherwise than the other?"""

    changes: tuple[float, float]
    """The value after the later step minus that after the earlier one, of a and of b."""
    difference: float
    """The change of a minus the change of b."""
    ci: tuple[float, float] | None
    p: float
    """Two-sided, as `Contrast.p`."""
    p_adjusted: float
    """Holm over all pairs and axes."""
    n: int
    """Clusters."""
    absent: dict[str, str] = Field(default_factory=dict)
    """Why the interval is None."""


class LengthComparison(RowModel):
    """Whether two merges over steps want experts of different lengths."""

    a: str
    b: str
    best: tuple[int, int]
    """The best steps of a and of b on the prompts of ``selection``."""
    steps: tuple[int, int]
    """What the contrasts compare, on the prompts of ``evaluate``: the two best steps or, where they
    are equal or one of them is not common, the first and the last common ones."""
    decision: LengthDecision
    """``same``: the best steps are equal. Else ``differs``: `gain` is shown to be above zero;
    ``equivalent``: it is shown to be within the margins; ``undecided``: neither is shown."""
    gain: float
    """The contrasts of all axes together, weighed as in the choice on ``selection``, in shares of
    their ranges: what both together gain by their own best step instead of the other's. Where the
    best steps are equal, how much more a gains by the later step than b."""
    ci: tuple[float, float]
    """Adjusted for all pairs."""
    axes: dict[Axis, LengthContrast]


class Lengths(RowModel):
    """Length of training as a variable."""

    curves: tuple[LengthCurve, ...]
    comparisons: tuple[LengthComparison, ...] = ()
    """Every two merges over steps of one stage."""
