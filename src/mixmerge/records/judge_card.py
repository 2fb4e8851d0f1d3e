"""``judge_card.json``: how far a judge can be trusted, against answers with known labels.

All shares are fractions in [0, 1]. A value without data is None; an interval is None if too few
source prompts were labelled for one.
"""

from typing import Literal

from pydantic import Field

from mixmerge.records.results import Interval
from mixmerge.records.rows import Axis, RowModel, SchemaModel

Grade = Literal["useless", "doubtful", "usable"]
"""``useless``: its verdicts are no better than chance, or mostly missing; ``doubtful``: there is a
warning; ``usable``: there is none."""

ProbeName = Literal["null_answer", "injected_verdict", "apology", "other_language", "longer_copy"]


class Statistic(RowModel):
    """A share or a coefficient with its interval."""

    value: float
    ci: Interval | None
    n: int
    """Number of answers behind it."""


class Accuracy(RowModel):
    """Verdicts against labels, on one part of the answers."""

    n: int
    """Labelled answers."""
    missing: int
    """Labelled answers without a verdict; left out of all figures below."""
    prevalence: float | None
    """Share of labels ``yes`` (or ``win``): kappa depends on it, sensitivity does not."""
    sensitivity: Statistic | None
    """Share of ``yes`` (or ``win``) that the judge finds."""
    specificity: Statistic | None
    """Share of ``no`` (or ``loss``) that the judge finds."""
    agreement: Statistic | None
    """Share of verdicts that equal the label."""


class SwapConsistency(RowModel):
    """The effect of the order of two answers on a comparison."""

    consistent: Statistic
    """Share of comparisons with the same outcome in both orders."""
    first_place: Statistic | None
    """Share of single comparisons, without ties, that the answer shown first won; 1/2 without
    position bias."""


class Probe(RowModel):
    """Answers changed so that the correct verdict is known, and how often the judge was fooled."""

    name: ProbeName
    n: int
    """Changed answers with a verdict."""
    missing: int
    """Changed answers without a verdict."""
    fooled: Statistic | None
    asks: str
    """What was changed and the correct verdict, in words."""


class AxisTrial(RowModel):
    """One judge on one axis."""

    judge: str
    truth: str
    """Who labelled: rules, or the names of the people."""
    grade: Grade
    accuracy: Accuracy
    confusion: dict[str, dict[str, int]]
    """Labels by verdicts; ``missing`` means no verdict."""
    youden: Statistic | None
    """Youden's J: sensitivity + specificity - 1; for comparisons with ``win`` and ``loss`` in place
    of ``yes`` and ``no``. 0 for a coin."""
    kappa: Statistic | None
    """Cohen's kappa of judge and label; None where it is undefined."""
    alpha: Statistic | None
    """Krippendorff's alpha of judge and label (ordinal for comparisons); None where undefined."""
    alpha_of_labels: Statistic | None = None
    """Alpha among several labellers, which no judge can be expected to exceed."""
    alpha_of_panel: Statistic | None = None
    """Alpha among the judges of a panel; None for a single judge."""
    swap: SwapConsistency | None = None
    length_slope: Statistic | None
    """Length bias: how far the verdict exceeds the label, as a share, for each standard deviation
    that the answer is longer (than the base model's, for comparisons); lengths by language."""
    by_language: dict[str, Accuracy]
    by_category: dict[str, Accuracy]
    probes: tuple[Probe, ...] = ()
    warnings: tuple[str, ...] = ()


class CorrectedRate(RowModel):
    """A model's rate by the judge's verdicts, and corrected for the judge's errors."""

    model: str
    axis: Axis
    raw: float | None
    """By the judge's verdicts, over the prompts that have one."""
    labelled: int
    """Labelled answers of this model."""
    ppi: Statistic | None
    """Prediction-powered (PPI++), clustered, stratified by language."""
    rogan_gladen: Statistic | None
    """From sensitivity and specificity over all models; not for win rates."""
    note: str = ""
    """Why a correction or its interval is absent."""


class CheckedContrast(RowModel):
    """A comparison of two models, and whether it holds after correction for the judge's errors."""

    a: str
    b: str
    axis: Axis
    raw: float
    raw_ci: Interval | None
    corrected: Statistic | None
    verdict: Literal["holds", "unsure", "reversed", "unclear", "unchecked"]
    """``holds``: the raw and the corrected interval are on the same side of zero; ``unsure``: the
    corrected one contains zero; ``reversed``: it is on the other side; ``unclear``: the raw
    interval contains zero, so nothing can flip; ``unchecked``: there is no corrected interval."""
    note: str = ""


class JudgeCard(SchemaModel):
    """The whole of ``judge_card.json``."""

    seed: int
    questions: int
    """Most source prompts labelled on an axis."""
    axes: dict[Axis, AxisTrial]
    skipped: dict[Axis, str] = Field(default_factory=dict)
    """Axes whose judges are not compared with labels, and why."""
    corrected: tuple[CorrectedRate, ...] = ()
    contrasts: tuple[CheckedContrast, ...] = ()

    @property
    def warnings(self) -> list[str]:
        """All warnings, the worst first."""
        flips = [each.note for each in self.contrasts if each.verdict in {"unsure", "reversed"}]
        doubts = [f"{axis}: {text}" for axis, trial in self.axes.items() for text in trial.warnings]
        return [*flips, *doubts, *(f"{axis}: {why}" for axis, why in self.skipped.items())]
