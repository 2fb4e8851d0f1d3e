"""What to do about the results of a study: the ``advice`` in ``results.json``."""

from typing import Literal

from pydantic import Field

from mixmerge.records.rows import Axis, RowModel


class Priority(RowModel):
    """Another model, for whoever weighs the axes differently."""

    model: str
    folder: str | None = None
    """As `Advice.folder`."""
    axis: Axis
    factor: float
    """From where on: the axis counts at least this many times as much as it does in `Advice`; below
    1, at most this share of it."""
    p_best: float
    """As `Advice.p_best`, with these weights."""


class OpenQuestion(RowModel):
    """A model that measures better than the choice and is not shown to be."""

    model: str
    axis: Axis
    factor: float
    """With which weights, as in `Priority`; 1 for those of `Advice`."""
    gain: float
    """Over the choice: the weighted mean of the axes, in shares of their ranges."""
    ci: tuple[float, float]
    """95 %, adjusted for all candidates."""
    needed: dict[Axis, int] | None
    """Source prompts of each deciding axis that would decide it, if the gain stays what it is; None
    where no affordable number would."""


class Advice(RowModel):
    """The model to take, for which priorities another one, and what is open."""

    choice: str | None
    """None where no model is within the limits of the study."""
    folder: str | None = None
    """Where it lies, relative to the run folder if inside; None for a model behind an endpoint."""
    reason: Literal["better", "equivalent", "default", "limits"]
    """``better``: shown to be better than ``against``; ``equivalent``: shown to differ from it by
    less than the margin on every deciding axis, and cheaper; ``default``: it is the baseline, or
    the base model, and no other is shown to be better; ``limits``: the baseline is beyond a limit,
    and of the others this one has the highest mean."""
    against: str | None = None
    gain: float = 0.0
    """Over ``against``: the weighted mean of the axes, in shares of their ranges."""
    ci: tuple[float, float] | None = None
    """95 %, adjusted for all candidates."""
    weights: dict[Axis, float]
    """How much each deciding axis counts: what `selection.weights` says, or alike; sum 1."""
    candidates: int
    """Models within the limits."""
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
