"""The input of a report: plain data, which the caller collects from the run."""

from pydantic import Field, InstanceOf

from mixmerge.records import RowModel
from mixmerge.records.judge_card import JudgeCard
from mixmerge.records.results import Results
from mixmerge.reporting.samples import Samples


class StepCost(RowModel):
    """What one finished step of the run took."""

    name: str
    kind: str
    """``mix``, ``train``, ``merge``, ``evaluate`` and so on."""
    model: str | None = None
    """The model that the step made or measured; None for a step shared by several. What teachers
    answered for several models has a name of its own, which is among the parents of each."""
    seconds: float = Field(ge=0)
    gpus: int = Field(0, ge=0)
    """Devices that the step was given, on all its nodes together."""
    tokens: int | None = Field(None, ge=0)
    """Tokens trained on or generated; None for other steps."""
    notes: list[str] = Field(default_factory=list)
    """What a training, or the teachers before it, left out or cut off: a sentence each."""


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
    recipes: dict[str, str] = Field(default_factory=dict)
    """What makes each model again: the part of a study file, as YAML."""
    samples: InstanceOf[Samples] | None = None
    """The answers, for a page of their own beside the report; its items are read once."""
    steps: list[StepCost] = Field(default_factory=list)
    dollars: dict[str, float] = Field(default_factory=dict)
    """Dollars spent on calls to endpoints with a price, by kind of step."""
    unfinished: list[str] = Field(default_factory=list)
    """Unfinished steps; if there are any, the page begins with a notice."""
    versions: dict[str, str] = Field(default_factory=dict)
    study_file: str = ""
    command: str = ""
    """The command that rebuilds the study."""
