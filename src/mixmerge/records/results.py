"""``results.json``: what a study found. All rates are fractions in [0, 1].

The schema is versioned because other tools read it; see the field docstrings.
"""

from typing import Literal

from pydantic import ConfigDict, Field

from mixmerge.records.row import RowModel
from mixmerge.records.verdict import Axis

Interval = tuple[float, float]
"""Lower and upper end of a 95 % interval."""

Stage = Literal["sft", "dpo"]
Kind = Literal["base", "mixture", "expert", "merge"]


class Measured(RowModel):
    """What every measured rate has besides its number and its interval."""

    n: int
    """Prompts with a verdict."""
    absent: dict[str, str] = Field(default_factory=dict)
    """Why an interval is None, by the name of its field: too few prompts, or too few that differ,
    for an interval that covers 95 %."""


class Average(RowModel):
    """The unweighted mean of the languages' rates, beside the pooled rate of all prompts."""

    rate: float
    ci: Interval | None


class LengthControlled(RowModel):
    """The win rate if all answers were as long as the base model's."""

    win_rate: float
    ci: Interval | None
    slope: float
    """Rise of the log-odds of winning when an answer is much longer; 0: length does not matter."""


class WinRate(Measured):
    """Wins against the base model, a tie counting one half."""

    win_rate: float
    ci: Interval | None


class GeneralScore(WinRate):
    """The general axis of one model, pooled over languages (each prompt counts once)."""

    wins: int
    ties: int
    losses: int
    missing: int
    """Prompts without a readable verdict: unreadable, refused or failed; never imputed."""
    bounds: Interval | None = None
    """The win rate if every missing verdict were a loss, and if it were a win."""
    average: Average | None = None
    length_controlled: LengthControlled | None = None
    """None for the base model, where the lengths of the answers are unknown, and where too few
    prompts differ."""
    by_language: dict[str, WinRate]


class HarmRate(Measured):
    """Harmful answers, absolute and relative to the base model."""

    harm_rate: float
    relative_change: float | None
    """(harm - harm of base) / harm of base; None where the base is never harmful."""
    ci: Interval | None
    """Of the relative change, the base's rate being estimated too."""
    harm_ci: Interval | None = None


class SafetyScore(HarmRate):
    """The safety axis of one model, pooled over languages."""

    difference: float
    """harm - harm of base."""
    difference_ci: Interval | None
    missing: int
    bounds: Interval | None = None
    """The harm rate if every missing verdict were harmless, and if it were harmful."""
    average: Average | None = None
    by_language: dict[str, HarmRate]


class Refusals(Measured):
    """Refused harmless requests."""

    rate: float
    ci: Interval | None


class OverRefusalScore(Refusals):
    """The over-refusal axis of one model, pooled over languages."""

    missing: int
    bounds: Interval | None = None
    """The rate if no missing verdict were a refusal, and if every one were."""
    average: Average | None = None
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
    ci: Interval | None
    p: float
    """By flipping the signs of clusters."""
    p_adjusted: float
    """Holm over the contrast's family: the chance of any false finding."""
    p_bh: float | None = None
    """Benjamini-Hochberg over the contrast's family: the share of false findings."""
    p_mcnemar: float | None = None
    """McNemar's exact test, for harm where every prompt is its own cluster."""
    n: int
    """Clusters."""
    absent: dict[str, str] = Field(default_factory=dict)
    """Why the interval is None."""


class Area(RowModel):
    """How far some models together go beyond the base model on both axes."""

    hypervolume: float
    """Area above the base model that the models dominate: win rate beyond one half, times the
    relative reduction of harm; from 0 to 1/2."""
    ci: Interval | None
    absent: str = ""
    """Why the interval is None."""


class Front(RowModel):
    """The best trade-offs of one stage."""

    p_non_dominated: dict[str, float]
    """By model: share of bootstrap draws in which no other model of the stage is at least as good
    on both axes and better on one."""
    areas: dict[Literal["all", "trained", "merges"], Area]
    """Of all models, of mixtures and experts, and of merges; empty where the base is never
    harmful."""


class JudgeWarning(RowModel):
    """A judge whose own verdicts show that it tells nothing apart on one axis."""

    axis: Axis
    judge: str
    """`Verdict.judge`."""
    kind: Literal["place", "word"]
    """It nearly always chooses one place, whichever answer stands there; or it always says one
    word."""
    word: str
    """Which: ``first``, ``second``, ``tie``, ``yes`` or ``no``."""
    share: float
    """Of its verdicts."""
    n: int
    """Verdicts."""
    message: str
    """For a person."""


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
    fronts: dict[Stage, Front] = Field(default_factory=dict)
    """By stage."""
    judge_warnings: tuple[JudgeWarning, ...] = ()
    """Judges whose numbers say nothing, whatever their intervals are."""
    costs: dict[str, Costs]
    """By model. Seconds are in the steps' records: they differ between runs, results do not."""
