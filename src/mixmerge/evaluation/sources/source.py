"""What all sources of scores share: how their logs are read, and how a harness is run."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from mixmerge.evaluation.measures import MeasureSpec, Scale
from mixmerge.evaluation.measures.mean import Mean
from mixmerge.logs.scores import Field as Column
from mixmerge.records.results import Better
from mixmerge.spec_model import SpecModel

_READ = {"metric", "fields", "language"}


class SourceSpec(SpecModel):
    """One log of scores for each model; what is read from it."""

    metric: str | None = None
    """Which score counts, e.g. ``acc_norm`` or, with its filter, ``exact_match,strict-match``; by
    default the log's first."""
    fields: dict[Column, str] = Field(default_factory=dict)
    """Columns of a table, fields of lm-eval's documents or of inspect's metadata: ``{cluster:
    passage}`` for items that belong together, and ``language``."""
    language: str | None = None
    """The language of all items; by default the study's first."""

    @property
    def format(self) -> str:
        """The format of the log: a key of `mixmerge.logs.FORMATS`."""
        raise NotImplementedError

    def reading(self) -> dict[str, Any]:
        """Return the settings that change what is read from a log, and not the log."""
        own = self.model_dump(mode="json", include=_READ, exclude_none=True)
        return own | {"format": self.format, "task": self.task_name}

    @property
    def task_name(self) -> str | None:
        """The only task to read of a log, if it may have others."""
        return None


@dataclass(frozen=True)
class HarnessRun:
    """What a harness is run on; nothing here but the model changes a score."""

    model: Path
    """A Hugging Face folder."""
    name: str
    """What the log calls the model."""
    out: Path
    """The folder for the log."""
    cache: Path
    """A path for answers, which an interrupted run reads again; a harness may add an ending."""
    files: Mapping[str, Path]
    """The files of `HarnessSpec.paths`, by role."""
    batch_size: int
    seed: int
    allow_execution: bool


class HarnessSpec(SourceSpec):
    """A task of an evaluation harness, run on each checkpoint."""

    package: ClassVar[str]
    """The harness's distribution."""

    task: str = Field(min_length=1)
    """The name of the task."""
    limit: int | None = Field(None, ge=1)
    """Only this many items, from the first on."""
    model: str = "hf"
    """The harness's name of the library that runs the model, e.g. ``vllm``."""
    model_args: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of that library."""
    files: list[Path] = Field(default_factory=list)
    """Other files and folders that the task reads; if their content changes, it runs again."""

    def requires(self) -> tuple[str, ...]:
        """Return the harness."""
        return (self.package,)

    def identity(self) -> dict[str, Any]:
        """Return the settings that change what the harness does, without paths."""
        own = self.model_dump(mode="json", exclude_none=True, exclude={*_READ, "files"})
        return {"version": version(self.package), **own}

    def paths(self) -> dict[str, Path]:
        """Return the files whose content changes scores, by role."""
        return {f"file{index}": path for index, path in enumerate(self.files)}

    def unknown(self) -> str:
        """Return why there is no such task, in a sentence; empty if there is one.

        The harness is installed.
        """
        return ""

    def run(self, asked: HarnessRun) -> None:
        """Evaluate one model and write the harness's own log.

        Raises:
            UserError: the harness cannot run the task on this model.
        """
        raise NotImplementedError


class ScoredAxis(Scale):
    """An axis whose scores come from a source instead of prompts and a judge."""

    key: ClassVar[str]
    """The key that only this kind of axis has."""

    measure: MeasureSpec = Mean()
    """`mean` with the bounds of the scores, or a `rate` for scores that are all 0 or 1."""
    better: Better | None = None
    """Which direction is better; by default what the log says of its metric, or `higher`."""

    @model_validator(mode="after")
    def _measures_scores(self) -> Self:
        if self.measure.asks == "comparison":
            raise ValueError(
                f"`{self.key}` has a score for each answer and compares no two answers: use "
                "`{mean: [LOWEST, HIGHEST]}`, or `{rate: correct}` for scores that are 0 or 1"
            )
        return self

    @property
    def source(self) -> SourceSpec:
        """The harness's task, or the log."""
        found: SourceSpec = getattr(self, self.key)
        return found


def placed(library: str) -> dict[str, Any]:
    """Return where and in which type transformers (``hf``) runs a model, as in `LoadedModel`.

    Empty for another library.
    """
    if library != "hf":
        return {}
    from mixmerge.evaluation.loaded_model import device_and_dtype

    device, dtype = device_and_dtype()
    return {"dtype": dtype, "device": device}


def version(package: str) -> str:
    """Return the version of an installed distribution, or that it is not there."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
