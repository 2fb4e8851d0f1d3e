"""``search.json``: what a search tried, and the front that it found."""

from typing import Any, Literal

from mixmerge.records import Axis, RowModel
from mixmerge.records.results import AxisInfo, Interval, Volume


class Estimated(RowModel):
    """A value of one axis on the prompts of ``selection``, in the axis's units."""

    value: float
    standard_error: float
    """Clustered by source question."""


class Tried(RowModel):
    """A candidate; its values chose the front, so the best of them are biased upwards."""

    name: str
    """Its number and the first digits of its recipe's hash: ``12-3f09a1b2``."""
    merge: dict[str, Any]
    """A `merge` section of a study file."""
    looks: int
    """1: screened; 2: it answered all prompts."""
    axes: dict[Axis, Estimated]
    slacks: dict[str, float]
    """By how much each constraint is kept, as a share of the range; negative: it is not."""
    p_on_front: float
    """Probability of being non-dominated among the candidates that keep the constraints."""
    failed: str = ""
    """Why there are no values."""
    hypervolume: float
    """Of all candidates up to this one, above the search's reference."""


class Slice(RowModel):
    """An axis as one number of a merge changes, on the prompts of ``selection``.

    The mean and a 95 % band at each value, of a Gaussian process over all candidates.
    """

    axis: Axis
    method: str
    through: str
    """The candidate whose other numbers are kept."""
    parameter: str
    """``weight of NAME``, or a parameter of the method."""
    at: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]


class OnAxis(RowModel):
    """A value on the prompts of ``evaluate``, which chose nothing."""

    value: float
    ci: Interval
    """Together with those of all members on all deciding axes, of 95 % coverage."""


class Member(RowModel):
    """A model on the prompts of ``evaluate``: a member of the front, or a model alone."""

    name: str
    """A member's name in ``front.yaml``, or a checkpoint's."""
    candidate: str = ""
    """The name in `SearchResult.candidates`; empty for a model alone."""
    merge: dict[str, Any] | None = None
    axes: dict[Axis, OnAxis]
    p_non_dominated: float
    """Probability, over bootstrap draws of source questions, that no other member or model alone is
    at least as good on all deciding axes and better on one."""
    slacks: dict[str, float] = {}  # noqa: RUF012 - pydantic copies it
    """By how much each limit is kept here, as a share of the range."""


class Used(RowModel):
    """What the search used; the members' answers to the prompts of ``evaluate`` are extra."""

    candidates: int
    answers: int
    judge_calls: int
    dollars: float
    answers_of_front: int
    """Answers of the members to the prompts of ``evaluate``."""


class SearchResult(RowModel):
    """The outcome of a search."""

    schema_version: Literal[1] = 1
    study: str
    seed: int
    strategy: str
    models: list[str]
    methods: list[str]
    goals: list[Axis]
    constraints: list[str]
    axes: dict[Axis, AxisInfo]
    reference: list[float]
    """The corner of the search's hypervolume, on each goal, as shares where larger is better."""
    used: Used
    notes: list[str]
    """What a reader must know, a sentence each."""
    front: list[Member]
    alone: list[Member]
    """The models that were merged, without merging."""
    volume: Volume | None
    """Of the members on the prompts of ``evaluate``, above the worst values that there can be."""
    volume_alone: Volume | None
    """The same of the models alone."""
    candidates: list[Tried]
    slices: list[Slice] = []  # noqa: RUF012 - pydantic copies it
    """Empty if BoTorch, which computes them, is not installed."""
