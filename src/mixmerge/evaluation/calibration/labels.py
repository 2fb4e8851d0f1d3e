"""Labels of answers, by people or by exact rules."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.judging import JudgedTexts
from mixmerge.files import read_rows
from mixmerge.records import MISSING, Axis, Outcome, Question, RowModel, Verdict
from mixmerge.spec_model import SpecModel

if TYPE_CHECKING:
    from mixmerge.evaluation.calibration.material import Material

Key = tuple[str, str]
"""Model and prompt."""

_BALANCE: Mapping[Outcome, int] = {"win": 1, "tie": 0, "loss": -1, "yes": 1, "no": -1}


class CalibrateSpec(SpecModel):
    """The labels that verdicts are compared with, and how many answers to compare."""

    rules: Literal["testbed"] | None = None
    """The testbed's exact rules give the labels."""
    labels: Path | None = None
    """People give the labels: JSON Lines of ``{model, axis, prompt, outcome, judge}`` on a random
    sample of the prompts, one row for each person and answer."""
    drawn: Path | None = None
    """With ``labels``: the stratum of every prompt, as `mixmerge annotate` writes it, if prompts
    were drawn with different chances: JSON Lines of ``{axis, prompt, stratum}``."""
    questions: int = Field(50, ge=10)
    """With ``rules``: source prompts drawn at random on each axis; all models' answers to them, in
    all languages, are labelled."""
    probes: int = Field(20, ge=0)
    """Answers that each probe changes on each axis; 0 for no probes."""

    @model_validator(mode="after")
    def _has_one_truth(self) -> Self:
        if (self.rules is None) == (self.labels is None):
            raise ValueError("give exactly one of `rules` and `labels`")
        if self.drawn is not None and self.labels is None:
            raise ValueError("`drawn` says how the prompts of `labels` were drawn; give `labels`")
        return self


def skipped_axes(questions: Iterable[Question]) -> dict[Axis, str]:
    """Return the axes whose judges cannot be compared with labels, and why.

    Raises:
        SpecError: no axis is left.
    """
    asked = list(questions)
    skipped = {
        question.axis: "Not calibrated: grades cannot be compared with labels yet."
        for question in asked
        if question.asks == "grade"
    }
    if len(skipped) == len(asked):
        raise SpecError(
            "calibrate: at least one axis with `win_rate` or `rate` as its measure is required "
            f"(seen: grades only, on {', '.join(skipped)}). Remove `calibrate`."
        )
    return skipped


class Label(JudgedTexts):
    """One person's verdict on one answer."""

    model: str
    axis: Axis
    prompt: str
    """`Prompt.id`."""
    outcome: Outcome
    """``win``, ``tie`` or ``loss`` for comparisons with the base model; otherwise ``yes`` or
    ``no``."""
    judge: str = "human"
    """The person."""


class Drawn(RowModel):
    """The stratum in which a prompt was drawn for labelling, or was not drawn."""

    axis: Axis
    prompt: str
    """`Prompt.id`."""
    stratum: str


@dataclass(frozen=True)
class Labels:
    """The labels of one axis."""

    by: str
    ratings: Mapping[Key, Mapping[str, Outcome]]
    """By answer and labeller."""
    strata: Mapping[str, str] = field(default_factory=dict)
    """By prompt, all of them; empty if every prompt of a language had the same chance."""

    def truth(self, key: Key) -> Outcome | None:
        """Return the label of more than half of the labellers; None without a majority."""
        said = Counter(self.ratings.get(key, {}).values())
        return next((outcome for outcome, count in said.items() if 2 * count > said.total()), None)


def read_labels(
    path: Path, materials: Sequence["Material"], drawn: Path | None = None
) -> dict[Axis, Labels]:
    """Read people's labels of every axis, and how their prompts were drawn.

    Raises:
        DataError: a row is invalid, names an unknown model or prompt, has an outcome of another
            axis, is the second label of one person for an answer, or is for a different answer;
            there is no label; or a prompt has no stratum.
    """
    by_axis = {material.axis: material for material in materials}
    models = dict.fromkeys(name for material in materials for name in material.models)
    found: dict[Axis, dict[Key, dict[str, Outcome]]] = {axis: defaultdict(dict) for axis in by_axis}
    for number, row in enumerate(read_rows(path, Label), 1):
        where = f"{path}, label {number}"
        if row.model not in models:
            there_are = ", ".join(models)
            raise DataError(f"{where}: there is no model {row.model!r}; there are {there_are}.")
        _check(row, where, by_axis)
        row.require(where, *by_axis[row.axis].texts(row.model, row.prompt))
        ratings = found[row.axis][row.model, row.prompt]
        if row.judge in ratings:
            raise DataError(
                f"{where}: {row.judge!r} has labelled the answer of {row.model!r} "
                f"to {row.prompt!r} already. Keep one of the two rows."
            )
        ratings[row.judge] = row.outcome
    if not any(found.values()):
        raise DataError(f"{path}: at least one label is required (seen: 0).")
    drawn_in = read_rows(drawn, Drawn) if drawn is not None else None
    strata = {
        axis: {} if drawn_in is None else _strata(drawn_in, str(drawn), by_axis[axis])
        for axis, rated in found.items()
        if rated
    }
    return {
        axis: Labels(
            ", ".join(sorted({who for row in found[axis].values() for who in row})),
            found[axis],
            of_axis,
        )
        for axis, of_axis in strata.items()
    }


def _strata(rows: Sequence[Drawn], where: str, material: "Material") -> dict[str, str]:
    """Return the stratum of each prompt of an axis."""
    strata = {row.prompt: row.stratum for row in rows if row.axis == material.axis}
    without = [prompt.id for prompt in material.prompts if prompt.id not in strata]
    if without:
        raise DataError(
            f"{where}: every prompt of {material.axis} needs a stratum, also those without a "
            f"label ({len(without)} have none, e.g. {without[0]!r}). Use the file of the task "
            "that the labels are from."
        )
    return strata


def _check(row: Label, where: str, by_axis: Mapping[Axis, "Material"]) -> None:
    if row.axis not in by_axis:
        raise DataError(f"{where}: the axis {row.axis!r} is not evaluated.")
    if row.prompt not in by_axis[row.axis].prompt_ids:
        raise DataError(
            f"{where}: {row.prompt!r} is not the id of any prompt of the axis {row.axis}."
        )
    question = by_axis[row.axis].question
    if question.asks == "grade":
        raise DataError(
            f"{where}: the axis {row.axis} has grades, which cannot be compared with labels yet. "
            "Remove its labels."
        )
    if row.outcome not in question.outcomes:
        raise DataError(
            f"{where}: the outcome must be one of {', '.join(question.outcomes)} "
            f"(seen: {row.outcome!r})."
        )


def decided(verdicts: Sequence[Verdict]) -> dict[str, Outcome | None]:
    """Return one outcome for each prompt, None if a verdict is missing.

    A comparison in two orders is a win or a loss if the mean of both is, otherwise a tie. Several
    judges have equal weight, whether they judged in one order or in two.
    """
    rows: dict[str, dict[str, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for verdict in verdicts:
        rows[verdict.prompt][verdict.judge].append(verdict.outcome)
    return {prompt: _together(list(said.values())) for prompt, said in rows.items()}


def _together(by_judge: Sequence[Sequence[Outcome]]) -> Outcome | None:
    outcomes = {outcome for said in by_judge for outcome in said}
    if outcomes & MISSING:
        return None
    balance = sum(Fraction(sum(_BALANCE[each] for each in said), len(said)) for said in by_judge)
    if outcomes <= {"yes", "no"}:
        return "yes" if balance > 0 else "no" if balance < 0 else None
    return "win" if balance > 0 else "loss" if balance < 0 else "tie"
