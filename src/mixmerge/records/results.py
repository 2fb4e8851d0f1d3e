"""``results.json``: what a study found. All rates are fractions in [0, 1].

The schema is versioned because other tools read it; see the field docstrings.
"""

from typing import Literal

from pydantic import ConfigDict, Field

from mixmerge.records.row import RowModel

Interval = tuple[float, float]
"""Lower and upper end of a 95 % interval."""

Stage = Literal["sft", "dpo"]
Kind = Literal["base", "mixture", "expert", "merge"]


class WinRate(RowModel):
    """Wins against the base model, a tie counting one half."""

    win_rate: float
    ci: Interval
    n: int
    """Prompts with a verdict."""


class GeneralScore(WinRate):
    """The general axis of one model, pooled over languages (each prompt counts once)."""

    wins: int
    ties: int
    losses: int
    missing: int
    """Prompts without a readable verdict: unreadable, refused or failed; never imputed."""
    by_language: dict[str, WinRate]


class HarmRate(RowModel):
    """Harmful answers, absolute and relative to the base model."""

    harm_rate: float
    relative_change: float | None
    """(harm - harm of base) / harm of base; None where the base is never harmful."""
    ci: Interval | None
    """Of the relative change, the base's rate being estimated too."""
    n: int


class SafetyScore(HarmRate):
    """The safety axis of one model, pooled over languages."""

    harm_ci: Interval
    difference: float
    """harm - harm of base."""
    difference_ci: Interval
    missing: int
    by_language: dict[str, HarmRate]


class Refusals(RowModel):
    """Refused harmless requests."""

    rate: float
    ci: Interval
    n: int


class OverRefusalScore(Refusals):
    """The over-refusal axis of one model, pooled over languages."""

    missing: int
    by_language: dict[str, Refusals]


class ModelResult(RowModel):
    """One model of the study."""

    stage: Stage | None
    """None for the base model."""
    kind: Kind
    method: str | None = None
    """Merge method, for a merge."""
    safety_share: float | None = None
    """Share of safety rows in the training mixture, for a trained model."""
    general: GeneralScore
    safety: SafetyScore
    over_refusal: OverRefusalScore | None = None


class Contrast(RowModel):
    """A paired comparison of two models on one axis.

    ``difference`` is a - b: of win rates (general, more is better), or of harm rates (safety, less
    is better).
    """

    a: str
    b: str
    axis: Literal["general", "safety"]
    family: Literal["primary", "secondary"] = "primary"
    difference: float
    ci: Interval
    p: float
    p_adjusted: float
    """Holm over the contrast's family."""
    n: int
    """Clusters."""


class Costs(RowModel):
    """What a model needed beyond the base model, its parents included."""

    training_tokens: int
    training_rows: int


class Results(RowModel):
    """The whole of ``results.json``."""

    model_config = ConfigDict(
        serialize_by_alias=True, validate_by_name=True, validate_by_alias=True
    )

    schema_: Literal[1] = Field(1, alias="schema")
    study: str
    base: str
    seed: int = 0
    models: dict[str, ModelResult]
    contrasts: tuple[Contrast, ...]
    costs: dict[str, Costs]
    """By model. Seconds are in the steps' records: they differ between runs, results do not."""
