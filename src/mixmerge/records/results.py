"""``results.json``: what a study found. Shares are fractions in [0, 1].

The schema is versioned because other tools read it; see the field docstrings.
"""

import reprlib
from typing import Any, Literal

from pydantic import Field, ValidationError

from mixmerge.errors import DataError
from mixmerge.files import first_problem
from mixmerge.records.advice import Advice
from mixmerge.records.rows import Axis, RowModel, SchemaModel
from mixmerge.records.sweeps import Lengths, Matched

SCHEMA = 2

Interval = tuple[float, float]
"""Lower and upper end of a 95 % interval."""

Stage = str
"""A model's stage of training, as the study calls it, e.g. ``sft`` or ``dpo``."""

Kind = Literal["base", "given", "mixture", "expert", "merge"]
"""``given``: made outside the study; ``mixture`` and ``expert``: trained on several sources of
data, or on one."""

Arm = str
"""The way of bringing objectives together that a model stands for: a key of `ARMS`, or a group that
the study names in ``arms``."""

ARMS: dict[Arm, Kind] = {
    "base": "base", "given": "given", "mix": "mixture", "single expert": "expert", "merge": "merge",
}  # fmt: skip
"""What a model of each kind stands for, unless it is a student."""

DISTIL, MERGE_THEN_DISTIL = "distil", "merge then distil"
"""The arms of students; of the second are those that start from a merge."""

Better = Literal["higher", "lower"]

Decision = Literal["beats", "loses", "equivalent", "trades", "undecided", "incomplete"]
"""``beats``: better on at least one deciding axis and shown not to be worse by the margin on any;
``loses``: the reverse; ``equivalent``: shown to differ by less than the margin on all; ``trades``:
better on one and worse on another; ``undecided``: the evidence shows none of these; ``incomplete``:
a deciding axis is not compared yet."""


class AxisInfo(RowModel):
    """How to format and compare the values of one axis."""

    measure: str
    """Name of the measure, e.g. ``win_rate``."""
    title: str
    """The value's name in the heading of a column, e.g. ``win rate``."""
    phrase: str
    """The same within a sentence, e.g. ``the win rate``."""
    better: Better
    """Which direction is good."""
    primary: bool
    """Whether it is a deciding axis."""
    unit: Literal["percent", "score"]
    """``percent``: values are fractions, shown as percent; ``score``: numbers within `bounds`."""
    bounds: Interval
    """The lowest and the highest possible value."""
    margin: float = 0.0
    """The smallest difference that matters, in the units of the values: 0.03 is 3 points."""
    of_base: float | None = None
    """The base model's value, where it is fixed by definition: one half for a win rate."""
    relative: bool = False
    """Whether changes relative to the base model's value are reported, too."""

    @property
    def sign(self) -> int:
        """1 where higher is better, else -1; a difference times the sign is a gain."""
        return 1 if self.better == "higher" else -1


class Change(RowModel):
    """A value minus the base model's, on the same prompts."""

    difference: float
    ci: Interval | None
    relative: float | None = None
    """(value - value of the base) / value of the base; None where the axis does not report it, or
    where the base's value is zero."""
    relative_ci: Interval | None = None
    """Accounts for the base's value being an estimate, too."""


class Average(RowModel):
    """The unweighted mean of the languages' values, beside the pooled value of all prompts."""

    value: float
    ci: Interval | None


class LengthControlled(RowModel):
    """The win rate if all answers were as long as the base model's."""

    value: float
    ci: Interval | None
    slope: float
    """Increase in the log-odds of winning for a much longer answer; 0: length does not matter."""


class Value(RowModel):
    """One model on one axis, in one language or pooled over them (each prompt counts once)."""

    n: int
    """Prompts with a verdict."""
    absent: dict[str, str] = Field(default_factory=dict)
    """Why an interval is None, by the name of its field: too few prompts, or too few that differ,
    for an interval that covers 95 %."""
    value: float
    ci: Interval | None
    change_from_base: Change | None = None
    """None for the base model itself."""


class AxisScore(Value):
    """One model on one axis."""

    missing: int
    """Prompts without a verdict: unreadable, refused or failed; never imputed."""
    bounds: Interval
    """The value if every missing verdict were the worst for it, and if it were the best."""
    outcomes: dict[str, int] = Field(default_factory=dict)
    """Prompts by outcome, e.g. ``{win: 40, tie: 7, loss: 53}``; empty for grades."""
    average: Average | None = None
    length_controlled: LengthControlled | None = None
    """For comparisons; None where the lengths are unknown or too few prompts differ."""
    by_language: dict[str, Value]


def is_answer(arm: Arm, baseline: Arm) -> bool:
    """Return whether models of an arm are tested against a baseline: they answer the question.

    Merges and students do, and arms that the study names, except the one of the baseline. Other
    models, such as experts, are what the answers are made from.
    """
    if arm in (DISTIL, MERGE_THEN_DISTIL, "merge"):
        return True
    return arm not in ARMS and arm != baseline


def _arm(fields: dict[str, Any]) -> Arm:
    return next(arm for arm, kind in ARMS.items() if kind == fields.get("kind", "base"))


class ModelInfo(RowModel):
    """What a model is."""

    kind: Kind
    arm: Arm = Field(default_factory=_arm)
    """By default, that of its kind."""
    stage: Stage | None = None
    """None for the base model only; ``given`` for given models without a stated stage."""
    method: str | None = None
    """Merge method, for a merge."""
    shares: dict[str, float] | None = None
    """Share of each data source in the training mixture, for a trained model."""
    candidates: int = 0
    """Of how many it is the best on the prompts of ``selection``; 0 if it is not chosen."""


class ModelResult(ModelInfo):
    """One model of the study."""

    axes: dict[Axis, AxisScore]


class Contrast(RowModel):
    """A paired comparison of two models on one axis; ``difference`` is a - b."""

    a: str
    b: str
    axis: Axis
    family: Literal["primary", "secondary"] = "primary"
    difference: float
    ci: Interval | None
    p: float
    """Two-sided: from a sign-flip test of clusters, or from a t test that allows for skew if its p
    is larger."""
    p_adjusted: float
    """Holm over the contrast's family: controls the chance of any false finding."""
    p_bh: float | None = None
    """Benjamini-Hochberg over the contrast's family: controls the share of false findings."""
    p_not_worse: float | None = None
    """One-sided, of "a is worse by the margin or more": small where a is shown not to be. Adjusted
    for the pairs of the primary family; None in the other."""
    p_not_better: float | None = None
    """The same of "a is better by the margin or more"."""
    p_mcnemar: float | None = None
    """McNemar's exact test, where every prompt is its own cluster and has one of two outcomes."""
    n: int
    """Clusters."""
    absent: dict[str, str] = Field(default_factory=dict)
    """Why the interval is None."""

    def turned(self) -> "Contrast":
        """Return the same comparison as b - a."""
        ci = self.ci and (-self.ci[1], -self.ci[0])
        return self.model_copy(
            update={
                "a": self.b,
                "b": self.a,
                "difference": -self.difference,
                "ci": ci,
                "p_not_worse": self.p_not_better,
                "p_not_better": self.p_not_worse,
            }
        )


class Comparison(RowModel):
    """The decision of all deciding axes together on one model against its baseline."""

    a: str
    b: str
    """The baseline."""
    stage: Stage | None
    decision: Decision
    better: tuple[Axis, ...] = ()
    """Deciding axes on which a is significantly better."""
    worse: tuple[Axis, ...] = ()
    """Deciding axes on which a is significantly worse."""
    not_worse: tuple[Axis, ...] = ()
    """Deciding axes on which a is shown not to be worse by the margin."""


class Volume(RowModel):
    """The hypervolume: the share of all possible values that some models dominate together.

    The reference point is the worst value on every deciding axis, such as no win and all answers
    harmful, and so the same for every study.
    """

    hypervolume: float
    """A share of the space of values, from 0 to 1."""
    ci: Interval | None
    absent: str = ""
    """Why the interval is None."""


class Front(RowModel):
    """The best trade-offs of one stage."""

    p_non_dominated: dict[str, float]
    """By model: share of bootstrap draws in which no other model of the stage is at least as good
    on all deciding axes and better on one."""
    volumes: dict[Literal["all", "trained", "merges"], Volume]
    """Of all models, of the trained ones and of merges; empty with more than four deciding axes."""


class JudgeWarning(RowModel):
    """A judge whose verdicts on one axis show that it does not distinguish answers."""

    axis: Axis
    judge: str
    """`Verdict.judge`."""
    kind: Literal["place", "word"]
    """It nearly always chooses the answer in one position, or always gives one verdict."""
    word: str
    """The position or verdict: ``first``, ``second``, ``tie``, ``yes`` or ``no``."""
    share: float
    """Share of its verdicts."""
    n: int
    """Number of verdicts."""
    message: str


class AnswerWarning(RowModel):
    """A model whose responses on one axis mostly contain no complete answer."""

    axis: Axis
    model: str
    kind: Literal["length", "thoughts"]
    """They were cut off at the token limit, or are thoughts without an answer."""
    share: float
    """Share of its answers."""
    n: int
    """Number of answers."""
    message: str
    """The warning in words."""


class Costs(RowModel):
    """A model's cost beyond the base model, including its parents."""

    training_tokens: int
    training_rows: int
    optimizer_steps: int = 0
    reference_tokens: int = 0
    """Tokens that went through a reference model."""
    generated_tokens: int = 0
    """Tokens that the model, or its teachers, wrote to be trained on."""
    teacher_tokens: int = 0
    """Tokens that teachers read in its trainings; making the teachers is counted, too."""
    flops: int | None = None
    """Floating-point operations of all its trainings, 6 per trained weight and token and 2 per
    weight and token of a reference, a teacher or generation; None if those of a training are not
    known: it was adopted and distilled, or an older version did not count them."""


class Results(SchemaModel):
    """The whole of ``results.json``."""

    study: str
    base: str
    seed: int = 0
    axes: dict[Axis, AxisInfo]
    """In the order of the study."""
    baselines: dict[Stage, str] = Field(default_factory=dict)
    """The model that the merges of each stage are compared with."""
    models: dict[str, ModelResult]
    contrasts: tuple[Contrast, ...]
    decisions: tuple[Comparison, ...] = ()
    """Every merge against its baseline."""
    matched: tuple[Matched, ...] = ()
    """Sweeps against the baseline of their stage, at its value of `match_on`'s axis."""
    lengths: Lengths | None = None
    """Trainings that keep steps, and merges over them; None without any."""
    fronts: dict[Stage, Front] = Field(default_factory=dict)
    """By stage."""
    judge_warnings: tuple[JudgeWarning, ...] = ()
    """Judges whose verdicts are uninformative, whatever the intervals are."""
    answer_warnings: tuple[AnswerWarning, ...] = ()
    """Models whose values mean little, since most of their answers are incomplete."""
    costs: dict[str, Costs] = Field(default_factory=dict)
    """By model. Seconds are in the steps' records instead: they differ between runs, results do
    not."""
    advice: Advice | None = None
    """Which model to take."""

    @property
    def deciding(self) -> dict[Axis, AxisInfo]:
        """The deciding axes, in the order of the study."""
        return {name: info for name, info in self.axes.items() if info.primary}

    @property
    def warnings(self) -> list[str]:
        """The warnings, a sentence each."""
        found = [warning.message for warning in self.answer_warnings]
        return found + [warning.message for warning in self.judge_warnings]

    def contrast(self, a: str, b: str, axis: Axis) -> Contrast | None:
        """Return the contrast a - b on an axis, also if it is stored as b - a."""
        for each in self.contrasts:
            if each.axis == axis and {each.a, each.b} == {a, b}:
                return each if each.a == a else each.turned()
        return None


def read_results(content: Any, where: str) -> Results:
    """Check the content of a ``results.json``, named ``where`` in messages.

    Raises:
        DataError: it is not a results file, or has another schema.
    """
    seen = content.get("schema") if isinstance(content, dict) else None
    if seen != SCHEMA:
        shown = reprlib.repr(seen)
        raise DataError(
            f"{where}: results of schema {SCHEMA} are required (seen: schema {shown}). An earlier "
            "version of mixmerge wrote this file: run the study again with `mixmerge run STUDY`; "
            "trainings and answers that have not changed are reused."
        )
    try:
        return Results.model_validate(content)
    except ValidationError as error:
        raise DataError(f"{where}: not what a run writes: {first_problem(error)}") from error
