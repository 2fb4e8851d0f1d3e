"""The study file's sections, and the questions that the steps ask it."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_serializer,
    model_validator,
)

from mixmerge.chat.options import ChatOptions
from mixmerge.evaluation.spec import EvaluateSpec
from mixmerge.hub import local_folder
from mixmerge.merging.spec import MergeSpec
from mixmerge.mixing.spec import MixtureSpec, Unit
from mixmerge.records.results import Kind, Stage
from mixmerge.spec_model import SpecModel
from mixmerge.study.checkpoints import (
    BaseSpec,
    CheckpointSpec,
    Given,
    Kept,
    Merged,
    Name,
    Selected,
    Trained,
)
from mixmerge.study.data_sources import DataSource
from mixmerge.study.placement_spec import Placement
from mixmerge.study.search_spec import SearchSpec
from mixmerge.study.selection import SelectionSpec, StepSweep, SweepSpec
from mixmerge.testbed.model import BASES
from mixmerge.training.spec import TrackingSpec, TrainSpec

ArmName = Annotated[str, Field(pattern=r"^\S(.*\S)?$", max_length=40)]

BASE = "base"
"""The base model's name among the models of a study."""


TOKENS_PER_ROW = 250
"""Assumed until rows have been counted; about 1,000 characters."""


def expected_rows(size: int, unit: Unit) -> int:
    """Estimate the rows of a mixture of ``size``, in ``unit``, that is not made yet."""
    return size if unit == "rows" else max(1, round(size / TOKENS_PER_ROW))


class ReportSpec(SpecModel):
    """What the report shows beyond the numbers."""

    title: str | None = None
    """Heading of the page; the study's name by default."""
    samples: int | None = Field(default=None, ge=0)
    """Source questions of each axis, in all languages, whose answers are shown side by side: all by
    default, or an even sample of so many."""


class Study(SpecModel):
    """A study file; ``base``, ``checkpoints`` and ``evaluate`` are required."""

    study: Name = "study"
    """The study's name."""
    extends: str | list[str] | None = None
    """Study files, relative to this one, that this one adds to: sections are merged name by name,
    and the value of a name is replaced whole."""
    chat_template: ChatOptions = Field(default={}, exclude_if=lambda options: not options)
    """Options of the chat template in training and generation: ``{enable_thinking: false}``."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seeds every random draw: rows and their order, training, merge methods, statistics."""
    languages: list[str] = Field(default=["en"], min_length=1)
    """Languages of training and evaluation."""
    base: BaseSpec
    """``testbed``, ``testbed/WORLD``, a Hugging Face folder, or a name on the hub with an optional
    ``@revision``."""
    data: dict[Name, DataSource] = {}
    """Sources of training rows."""
    mixtures: dict[Name, MixtureSpec] = {}
    """Training sets."""
    training: dict[Name, TrainSpec] = {}
    """Training recipes. Their seed is the study's unless they set one."""
    checkpoints: dict[Name, CheckpointSpec] = Field(min_length=1)
    """The models: given ones, and a graph of trainings and merges. A training whose recipe keeps
    steps stands for several: ``NAME-STEP`` for each of them, and ``NAME`` for the last."""
    arms: dict[ArmName, Annotated[list[str], Field(min_length=1)]] = {}
    """Checkpoints to compare as one arm. By default, the arm follows from how a checkpoint is made:
    ``mix``, ``merge``, ``distil``, ``merge then distil``, ``single expert`` or ``given``."""
    evaluate: EvaluateSpec
    """Axes, judges and statistics."""
    selection: SelectionSpec | None = None
    """The prompts on which ``sweep`` and ``select`` choose; not those of `evaluate`."""
    search: SearchSpec | None = None
    """What ``mixmerge search`` may merge, on what it spends its budget, and what it must keep."""
    report: ReportSpec = ReportSpec()
    """What the report shows."""
    placement: Placement = Placement()
    """Where and how the work runs."""
    tracking: TrackingSpec | None = None
    """An experiment tracker for the metrics of trainings and finished steps; none by default."""

    @model_validator(mode="after")
    def _with_kept_steps(self) -> Self:
        """Put a checkpoint for each kept step before the one that its training makes."""
        written = {**self.checkpoints}
        self.checkpoints.clear()
        for name, checkpoint in written.items():
            if isinstance(checkpoint, Trained) and checkpoint.train in self.training:
                own = {field: getattr(checkpoint, field) for field in Trained.model_fields}
                for step in self.training[checkpoint.train].keep_steps:
                    at = f"{name}-{step}"
                    self.checkpoints[at] = written.get(at) or Kept(**own, of=name, step=step)
            self.checkpoints[name] = checkpoint
        return self

    @field_serializer("checkpoints", mode="wrap")
    def _as_written(
        self, checkpoints: dict[str, Any], handler: SerializerFunctionWrapHandler
    ) -> Any:
        return handler({n: c for n, c in checkpoints.items() if not isinstance(c, Kept)})

    def given(self) -> dict[str, Given]:
        """Return the models made outside the study, the base model first."""
        named = {n: c for n, c in self.checkpoints.items() if isinstance(c, Given)}
        return {BASE: self.base, **named}

    def trained(self) -> dict[str, Trained]:
        """Return the checkpoints that are trained, without those of kept steps."""
        found = {n: c for n, c in self.checkpoints.items() if isinstance(c, Trained)}
        return {n: c for n, c in found.items() if not isinstance(c, Kept)}

    def kept(self) -> dict[str, Kept]:
        """Return the checkpoints of kept steps."""
        return {n: c for n, c in self.checkpoints.items() if isinstance(c, Kept)}

    def lengths(self, name: str) -> dict[int, str]:
        """Return the checkpoints of a training by step, where it keeps any; else none.

        The last step is left out if it is known only once the rows are: with ``epochs`` and a
        mixture in tokens, or rows that are dropped.
        """
        checkpoint = self.checkpoints.get(name)
        recipe = self.training.get(getattr(checkpoint, "train", ""))
        if recipe is None or not recipe.keep_steps or isinstance(checkpoint, Kept):
            return {}
        last = self.last_step(name)
        found = {step: f"{name}-{step}" for step in recipe.keep_steps}
        return found | ({last: name} if last else {})

    def last_step(self, name: str) -> int | None:
        """Return the last step of a training, if it is known before the rows are made."""
        checkpoint = self.checkpoints.get(name)
        recipe = self.training.get(getattr(checkpoint, "train", ""))
        mixture = self.mixtures.get(getattr(checkpoint, "mixture", ""))
        if recipe is None or mixture is None:
            return None
        known = mixture.unit == "rows" and recipe.overlong == "error"
        return recipe.steps(mixture.size) if known or recipe.max_steps else None

    def merges(self) -> dict[str, MergeSpec]:
        """Return all merges to make: those without a sweep, and every merge of the sweeps."""
        merged = {n: c for n, c in self.checkpoints.items() if isinstance(c, Merged)}
        plain = {name: own.merge for name, own in merged.items() if own.sweep is None}
        return plain | {n: m for name in merged for n, m in self.swept(name).items()}

    def swept(self, name: str) -> dict[str, MergeSpec]:
        """Return the merges of a checkpoint's sweep; none without a sweep."""
        checkpoint = self.checkpoints[name]
        if not isinstance(checkpoint, Merged) or checkpoint.sweep is None:
            return {}
        if isinstance(checkpoint.sweep, SweepSpec):
            return checkpoint.sweep.merges(name, checkpoint.merge)
        known = {model: self.lengths(model) for model in checkpoint.merge.models}
        at = {
            step: {model: own.get(step, f"{model}-{step}") for model, own in known.items()}
            for step in checkpoint.sweep.steps
        }
        return checkpoint.sweep.merges(name, checkpoint.merge, at)

    def measured_sweeps(self) -> dict[str, list[str]]:
        """Return the sweeps whose every merge is evaluated, for `EvaluateSpec.match_on`.

        The merges are sorted by weight, since neighbours are interpolated between; a sweep of
        gradients has no such order and is left out.
        """
        sweeps = {n: c.sweep for n, c in self.checkpoints.items() if isinstance(c, Merged)}
        return {
            name: [path for _, path in sorted(zip(sweep.values, self.swept(name), strict=True))]
            for name, sweep in sweeps.items()
            if isinstance(sweep, SweepSpec) and self.evaluate.match_on and sweep.is_path
        }

    def by_length(self) -> dict[str, dict[int, str]]:
        """Return the models after each length of training, of trainings and of merges over steps.

        All of them are evaluated.
        """
        found = {name: self.lengths(name) for name in self.trained()}
        for name, own in self.checkpoints.items():
            if isinstance(own, Merged) and isinstance(own.sweep, StepSweep):
                found[name] = dict(zip(own.sweep.steps, self.swept(name), strict=True))
        return {name: models for name, models in found.items() if models}

    def measured_merges(self) -> list[str]:
        """Return the merges of `measured_sweeps` and `by_length`, which are no checkpoints."""
        lists = [*self.measured_sweeps().values(), *map(dict.values, self.by_length().values())]
        return [name for names in lists for name in names if name not in self.checkpoints]

    def candidates(self, name: str) -> list[str]:
        """Return the candidates of a checkpoint; none for one that is not chosen."""
        checkpoint = self.checkpoints.get(name)
        if isinstance(checkpoint, Selected):
            return checkpoint.select
        return [] if checkpoint is None else [*self.swept(name)]

    def chosen(self) -> dict[str, list[str]]:
        """Return the candidates of every chosen checkpoint."""
        found = {name: self.candidates(name) for name in self.checkpoints}
        return {name: names for name, names in found.items() if names}

    def answered(self, name: str) -> bool:
        """Return whether teachers answer the prompts of a checkpoint before it is trained."""
        checkpoint = self.checkpoints[name]
        if not isinstance(checkpoint, Trained) or not checkpoint.teachers:
            return False
        recipe = self.training.get(checkpoint.train)
        return recipe is not None and recipe.objective.takes_answers

    def parents(self, name: str) -> list[str]:
        """Return the checkpoints that a checkpoint is made from, without the base model."""
        checkpoint = self.checkpoints[name]
        if isinstance(checkpoint, Trained):
            start = [checkpoint.start] if checkpoint.start else []
            return list(dict.fromkeys([*start, *checkpoint.teachers.values()]))
        if isinstance(checkpoint, Selected):
            return checkpoint.select
        return list(checkpoint.merge.checkpoints) if isinstance(checkpoint, Merged) else []

    def trainings(self, name: str) -> list[str]:
        """Return the trainings that a checkpoint stands on, each as far as it is needed."""
        longest: dict[str, str] = {}
        for each in self.ancestors(name):
            checkpoint = self.checkpoints[each]
            if isinstance(checkpoint, Kept):
                other = self.checkpoints.get(longest.get(checkpoint.of, ""))
                if other is None or (isinstance(other, Kept) and other.step < checkpoint.step):
                    longest[checkpoint.of] = each
            elif isinstance(checkpoint, Trained):
                longest[each] = each
        return [*longest.values()]

    def ancestors(self, name: str) -> list[str]:
        """Return a checkpoint and all its ancestors, each once, parents first."""
        found: dict[str, None] = {}
        waiting = [name]  # no recursion: a study may train a thousand checkpoints in a row
        while waiting:
            first = next((each for each in self.parents(waiting[-1]) if each not in found), None)
            if first is None:
                found[waiting.pop()] = None
            else:
                waiting.append(first)
        return [*found]

    def stage(self, name: str) -> Stage:
        """Return a checkpoint's stage: that of its last training."""
        checkpoint = self.checkpoints[name]
        while isinstance(checkpoint, (Merged, Selected)):
            name = self.parents(name)[0]
            checkpoint = self.checkpoints[name]
        if isinstance(checkpoint, Trained):
            return checkpoint.stage or self.training[checkpoint.train].objective.stage
        return checkpoint.stage

    def baselines(self) -> dict[Stage, str]:
        """Return the baseline that the merges of each stage are tested against."""
        named = self.evaluate.baseline
        if len(named) == 1:
            return {self.stage(name): named[0] for name in self.checkpoints}
        return {self.stage(name): name for name in named}

    def kind(self, name: str) -> Kind:
        """Return whether a checkpoint is given, a merge, a mixture, or an expert on one source."""
        checkpoint = self.checkpoints[name]
        if isinstance(checkpoint, Given):
            return checkpoint.kind
        if isinstance(checkpoint, Merged):
            return "merge"
        if isinstance(checkpoint, Selected):
            kinds = [self.kind(each) for each in self.selectable(name)]
            return "merge" if "merge" in kinds else "mixture" if "mixture" in kinds else kinds[0]
        shares = self.mixtures[checkpoint.mixture].shares
        return "mixture" if sum(share > 0 for share in shares.values()) > 1 else "expert"

    def selectable(self, name: str) -> list[str]:
        """Return the checkpoints that a chosen one may turn out to be; the name itself for others.

        Candidates that are chosen from others are followed to these.
        """
        found: list[str] = []
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            each = self.checkpoints[waiting[-1]]
            if isinstance(each, Selected):
                waiting[-1:] = reversed([n for n in each.select if n not in seen])
                seen |= {*each.select}
            else:
                found.append(waiting.pop())
        return found

    def shares(self, name: str) -> dict[str, float] | None:
        """Return the share of each source in a checkpoint's training mixture, if it has one."""
        checkpoint = self.checkpoints[name]
        if not isinstance(checkpoint, Trained):
            return None
        shares = self.mixtures[checkpoint.mixture].shares
        return {source: shares.get(source, 0.0) / sum(shares.values()) for source in self.data}

    def method(self, name: str) -> str | None:
        """Return the merge method of a merge, None for any other checkpoint."""
        checkpoint = self.checkpoints[name]
        if isinstance(checkpoint, Merged):
            return checkpoint.merge.method
        return checkpoint.method if isinstance(checkpoint, Given) else None


def folder_of(model: str) -> Path | None:
    """Return the folder that a model's name refers to; None for the testbed or a hub name.

    Raises:
        ModelError: the name is not a valid path.
    """
    folder = local_folder(model)
    looks_local = model.startswith((".", "/", "~")) or folder.is_dir()
    return folder if model not in BASES and looks_local else None


def model_step(study: Study, name: str) -> str:
    """Return the id of the step that makes a model: the base, a checkpoint or a swept merge."""
    checkpoint = study.checkpoints.get(name)
    if name == BASE:
        kind = "base"
    elif study.candidates(name):
        kind = "select"
    elif isinstance(checkpoint, Given):
        kind = "given"
    elif isinstance(checkpoint, Kept):
        kind = "kept"
    else:
        kind = "train" if isinstance(checkpoint, Trained) else "merge"
    return f"{kind}/{name}"


def has_weights(study: Study, name: str) -> bool:
    """Return whether a model has weights, and not only an endpoint."""
    given = study.given().get(name)
    return given is None or given.model is not None
