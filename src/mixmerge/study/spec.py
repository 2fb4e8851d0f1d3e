"""The study file: what is mixed, trained, merged and evaluated, all by name."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag

from mixmerge.evaluation.spec import EvaluateSpec
from mixmerge.evaluation.spec import PlacementSpec as GeneratePlacement
from mixmerge.execution.engines import with_engines
from mixmerge.merging.spec import MergeSpec
from mixmerge.mixing.spec import SourceSpec, Unit, Weight
from mixmerge.records.results import Kind, Stage
from mixmerge.spec_model import SpecModel
from mixmerge.study.selection_spec import SelectionSpec, SweepSpec
from mixmerge.training.spec import PlacementSpec as TrainPlacement
from mixmerge.training.spec import TrackingSpec, TrainSpec

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
"""Letters, digits, ``_``, ``.`` and ``-``: names become folders."""

TESTBED = "testbed"


class TestbedSource(SpecModel):
    """Rows of the embedded world."""

    __test__ = False  # not a test, whatever pytest makes of the name

    testbed: Literal["general", "safety"]
    """Answers to questions, or refusals of harmful requests."""


def _kind_of_source(value: Any) -> str:
    names = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return "testbed" if "testbed" in names else "source"


DataSource = Annotated[
    Annotated[TestbedSource, Tag("testbed")] | Annotated[SourceSpec, Tag("source")],
    Discriminator(_kind_of_source),
]
"""``{testbed: general}``, or files or a Hugging Face data set with its columns."""


class MixtureSpec(SpecModel):
    """One training set: exact counts by source and language."""

    size: int = Field(ge=1)
    """Rows (or tokens) of the mixture."""
    shares: dict[str, Weight] = Field(min_length=1)
    """Weight of each data source; they need not sum to one."""
    language_shares: dict[str, Weight] | None = None
    """Weight of each language; equal by default. A weight of 0 leaves a language out."""
    unit: Unit = "rows"
    """What `size` and the shares count."""
    when_short: Literal["error", "repeat"] = "error"
    """What to do when a source has too few rows in a language."""
    most_copies: int = Field(default=1, ge=1)
    """With ``when_short: repeat``: how often one row may occur."""


TOKENS_PER_ROW = 250
"""What a row is taken to have until it is known: about 1,000 characters."""


def expected_rows(size: int, unit: Unit) -> int:
    """Return about how many rows a mixture has before it is made.

    Args:
        size: of the mixture, in ``unit``.
        unit: what ``size`` counts.
    """
    return size if unit == "rows" else max(1, round(size / TOKENS_PER_ROW))


class Trained(SpecModel):
    """A checkpoint that is trained."""

    model_config = ConfigDict(validate_by_name=True)

    train: str
    """Name of a training recipe."""
    mixture: str
    """Name of the mixture it is trained on."""
    start: str | None = None
    """The checkpoint it starts from; the study's base model by default."""


class Merged(SpecModel):
    """A checkpoint that is a merge of others."""

    merge: MergeSpec
    """Method, models and weights."""
    sweep: SweepSpec | None = None
    """Try several weights of one model; the checkpoint is the merge that does best on the items of
    ``selection``."""


class Selected(SpecModel):
    """A checkpoint that is one of others: the one that does best on the items of ``selection``."""

    select: list[str] = Field(min_length=2)
    """The checkpoints to choose from; of equals, the first."""


def _kind_of_checkpoint(value: Any) -> str:
    names = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    return next((kind for key, kind in _KIND_BY_KEY.items() if key in names), "trained")


_KIND_BY_KEY = {"merge": "merged", "select": "selected"}

CheckpointSpec = Annotated[
    Annotated[Trained, Tag("trained")]
    | Annotated[Merged, Tag("merged")]
    | Annotated[Selected, Tag("selected")],
    Discriminator(_kind_of_checkpoint),
]
"""``{train: sft, mixture: m15}``, ``{merge: {method: slerp, models: [a, b]}}``, or
``{select: [a, b]}``."""


StepKind = Literal["mix", "train", "merge", "generate", "judge"]


@with_engines
class Placement(SpecModel):
    """Where and how the work runs; changes no result beyond rounding."""

    train: TrainPlacement = TrainPlacement()
    """Devices, batch per device, sharding."""
    generate: GeneratePlacement = GeneratePlacement()
    """Prompts answered at once, threads."""
    memory_gb: dict[StepKind, Annotated[float, Field(gt=0)]] = {}
    """Gigabytes (1e9 bytes) that one step of a kind needs, e.g. ``{train: 40, generate: 18}``: no
    more run side by side than fit. A kind that is not named is taken to need none."""


class ReportSpec(SpecModel):
    """What the report shows beyond the numbers."""

    title: str | None = None
    """Heading of the page; the study's name by default."""
    samples: int = Field(default=8, ge=0)
    """Prompts per axis and language whose answers are shown side by side."""


class Study(SpecModel):
    """A study file."""

    study: Name
    """The study's name."""
    extends: str | list[str] | None = None
    """Study files, relative to this one, that this one adds to: sections are joined name by name,
    and what stands at a name is replaced whole."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Decides every draw: rows and their order, training, random merge methods, statistics."""
    languages: list[str] = Field(min_length=1)
    """Languages of training and evaluation."""
    base: str
    """``testbed``, a Hugging Face folder, or a name on the hub with an optional ``@revision``."""
    data: dict[Name, DataSource] = Field(min_length=1)
    """Sources of training rows; the share of the one called ``safety`` is a safety share."""
    mixtures: dict[Name, MixtureSpec] = Field(min_length=1)
    """Training sets."""
    training: dict[Name, TrainSpec] = Field(min_length=1)
    """Training recipes. Their seed is the study's unless they have their own."""
    checkpoints: dict[Name, CheckpointSpec] = Field(min_length=1)
    """The models: a graph of trainings and merges."""
    evaluate: EvaluateSpec
    """Axes, judges and statistics."""
    selection: SelectionSpec | None = None
    """On which items ``sweep`` and ``select`` choose: others than those of `evaluate`."""
    baselines: list[str] = Field(min_length=1)
    """The checkpoint that merges of the same stage are tested against: one for each stage."""
    report: ReportSpec = ReportSpec()
    """What the report shows."""
    placement: Placement = Placement()
    """Where and how the work runs."""
    tracking: TrackingSpec | None = None
    """An experiment tracker that hears of trainings and finished steps; none by default."""

    def parents(self, name: str) -> list[str]:
        """Return the checkpoints that a checkpoint is made from, the base model left out."""
        checkpoint = self.checkpoints[name]
        if isinstance(checkpoint, Trained):
            return [checkpoint.start] if checkpoint.start else []
        if isinstance(checkpoint, Selected):
            return checkpoint.select
        return list(checkpoint.merge.checkpoints)

    def ancestors(self, name: str) -> list[str]:
        """Return a checkpoint and all it is made from, each once, parents first."""
        found = {
            ancestor: None for parent in self.parents(name) for ancestor in self.ancestors(parent)
        }
        return [*found, name]

    def stage(self, name: str) -> Stage:
        """Return ``dpo`` for a checkpoint with a DPO training behind it, else ``sft``."""
        methods = {self.training[item.train].method for item in self._trainings(name)}
        return "dpo" if "dpo" in methods else "sft"

    def kind(self, name: str) -> Kind:
        """Return whether a checkpoint is a merge, a mixture, or an expert of one source."""
        checkpoint = self.checkpoints[name]
        if isinstance(checkpoint, Merged):
            return "merge"
        if isinstance(checkpoint, Selected):
            kinds = {self.kind(candidate) for candidate in checkpoint.select}
            return "merge" if "merge" in kinds else "mixture"
        shares = self.mixtures[checkpoint.mixture].shares
        return "mixture" if sum(share > 0 for share in shares.values()) > 1 else "expert"

    def safety_share(self, name: str) -> float | None:
        """Return the share of safety rows that a trained checkpoint saw, None for any other."""
        checkpoint = self.checkpoints[name]
        if not isinstance(checkpoint, Trained):
            return None
        shares = self.mixtures[checkpoint.mixture].shares
        return shares.get("safety", 0.0) / sum(shares.values())

    def method(self, name: str) -> str | None:
        """Return the merge method of a merge, None for a trained checkpoint."""
        checkpoint = self.checkpoints[name]
        return checkpoint.merge.method if isinstance(checkpoint, Merged) else None

    def _trainings(self, name: str) -> Iterator[Trained]:
        for ancestor in self.ancestors(name):
            checkpoint = self.checkpoints[ancestor]
            if isinstance(checkpoint, Trained):
                yield checkpoint


def base_folder(study: Study) -> Path | None:
    """Return the base model's folder when the study names one, None for the testbed or the hub."""
    looks_local = study.base.startswith((".", "/", "~")) or Path(study.base).is_dir()
    return Path(study.base).expanduser() if study.base != TESTBED and looks_local else None
