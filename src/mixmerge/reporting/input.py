"""The input of a report: plain data, which the caller collects from the run."""

from pydantic import Field

from mixmerge.records import Axis, Outcome, Prompt, RowModel
from mixmerge.records.judge_card import JudgeCard
from mixmerge.records.results import Results


class Answer(RowModel):
    """One model's answer to a sampled prompt, with the judge's verdict."""

    text: str
    outcome: Outcome | None = None
    """None where nothing is judged, such as the base model against itself."""
    score: float | None = None
    """The grade, with the outcome ``graded``."""
    reason: str = ""


class Sample(RowModel):
    """One prompt with the answers of several models, shown side by side."""

    prompt: Prompt
    axis: Axis
    answers: dict[str, Answer]


class StepCost(RowModel):
    """What one finished step of the run took."""

    name: str
    kind: str
    """``mix``, ``train``, ``merge``, ``evaluate`` and so on."""
    model: str | None = None
    """The model that the step made or measured; None for a step shared by several."""
    seconds: float = Field(ge=0)
    tokens: int | None = Field(None, ge=0)
    """Tokens trained on or generated; None for other steps."""


class ReportInput(RowModel):
    """Everything that a report shows; an unfinished study has fewer models or no contrasts."""

    results: Results
    title: str
    base: str = ""
    """The base model as the study file names it: a folder, or a name on the hub."""
    languages: list[str]
    """In the order in which tables show them."""
    judge_card: JudgeCard | None = None
    """The judges' trial, if there was one."""
    parents: dict[str, list[str]] = Field(default_factory=dict)
    """The models that each model was made from: a merge's experts, or the start of a training.
    Their seconds are added to the model's own; leave empty to show own seconds only."""
    samples: list[Sample] = Field(default_factory=list)
    steps: list[StepCost] = Field(default_factory=list)
    dollars: dict[str, float] = Field(default_factory=dict)
    """Dollars spent on calls to endpoints with a price, by kind of step."""
    unfinished: list[str] = Field(default_factory=list)
    """Unfinished steps; if there are any, the page begins with a notice."""
    versions: dict[str, str] = Field(default_factory=dict)
    study_file: str = ""
    command: str = ""
    """The command that rebuilds the study."""
