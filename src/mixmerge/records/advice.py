"""The ``advice`` in ``results.json``: which model to take."""

from typing import Literal

from pydantic import Field

from mixmerge.records.rows import Axis, RowModel


class Priority(RowModel):
    """Another model, to take if the axes have other weights."""

    model: str
    folder: str | None = None
    """As `Advice.folder`."""
    axis: Axis
    factor: float
    """The axis must count at least this many times as much as in `Advice`; below 1, at most this
    share of it."""
    p_best: float
    """As `Advice.p_best`, with these weights."""


class OpenQuestion(RowModel):
    """A model that measures better than the choice, but not significantly."""

    model: str
    axis: Axis
    factor: float
    """The weights, as in `Priority`; 1 for those of `Advice`."""
    gain: float
    """Over the choice, in the weighted mean of the axes as shares of their ranges."""
    ci: tuple[float, float]
    """95 %, adjusted for all candidates."""
    needed: dict[Axis, int] | None
    """Source prompts of each deciding axis that would decide it, if the gain stays the same; None
    if no affordable number would."""


class Advice(RowModel):
    """The model to take, other models for other priorities, and open questions."""

    choice: str | None
    """None where no model is within the limits of the study."""
    folder: str | None = None
    """Its folder, relative to the run folder if inside; None for a model behind an endpoint."""
    reason: Literal["better", "equivalent", "default", "limits"]
    """``better``: shown to be better than ``against``; ``equivalent``: shown to differ from it by
    less than the margin on every deciding axis, and cheaper; ``default``: it is the baseline, or
    the base model, and no other is shown to be better; ``limits``: the baseline is beyond a limit,
    and of the others this one has the highest mean."""
    against: str | None = None
    gain: float = 0.0
    """Over ``against``, in the weighted mean of the axes as shares of their ranges."""
    ci: tuple[float, float] | None = None
    """95 %, adjusted for all candidates."""
    weights: dict[Axis, float]
    """Weight of each deciding axis, from `selection.weights` or else equal; they sum to 1."""
    candidates: int
    """Number of models within the limits."""
    p_best: float
    """Share of bootstrap draws in which no candidate has a higher weighted mean."""
    priorities: tuple[Priority, ...] = ()
    excluded: dict[str, tuple[Axis, ...]] = Field(default_factory=dict)
    """Models beyond a limit, and on which axes."""
    limits: dict[Axis, float] = Field(default_factory=dict)
    """The worst acceptable value by axis, in its units: `selection.limits`."""
    questions: dict[Axis, int] = Field(default_factory=dict)
    """Source prompts of each deciding axis that have a verdict of every candidate."""
    open: tuple[OpenQuestion, ...] = ()
