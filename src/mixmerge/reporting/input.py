"""What a report is made from: plain data, gathered by whoever knows the run."""

from pydantic import Field

from mixmerge.records import Axis, Outcome, Prompt, RowModel
from mixmerge.records.judge_card import JudgeCard
from mixmerge.records.results import Results


class Answer(RowModel):
    """What one model answered to a sampled prompt, and what the judge said."""

    text: str
    outcome: Outcome | None = None
    """None where there is nothing to judge, such as the base model against itself."""
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
    """Tokens trained on or generated; None where the word means nothing."""


class ReportInput(RowModel):
    """Everything that a report shows. An unfinished study has fewer models or no contrasts."""

    results: Results
    title: str
    base: str = ""
    """The base model as the study file names it: a folder, or a name on the hub."""
    languages: list[str]
    """In the order in which tables show them."""
    judge_card: JudgeCard | None = None
    """The trial of the judges, where there was one."""
    parents: dict[str, list[str]] = Field(default_factory=dict)
    """Models each model was made from: a merge's experts, the model that a training started from.
    Seconds of the parents are added to a model's own; leave it empty to show own seconds only."""
    samples: list[Sample] = Field(default_factory=list)
    steps: list[StepCost] = Field(default_factory=list)
    dollars: dict[str, float] = Field(default_factory=dict)
    """What calls to endpoints with a price have cost, by kind of step."""
    unfinished: list[str] = Field(default_factory=list)
    """Steps that are not done yet; anything here puts a notice on top of the page."""
    versions: dict[str, str] = Field(default_factory=dict)
    study_file: str = ""
    command: str = ""
    """The command that rebuilds the study."""
