"""What a study would do and cost, before it does: reads files, loads no model library."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixmerge.evaluate.spec import EndpointJudgeSpec
from mixmerge.execute.plan import Planned, State, plan
from mixmerge.execute.store import Store
from mixmerge.study.kinds import model_path
from mixmerge.study.run import prepare
from mixmerge.study.spec import Study, Trained
from mixmerge.train.spec import TrainSpec

_ORDERS = {"general": 2, "safety": 1, "over_refusal": 1}
"""Calls to a judge model per prompt: comparisons are asked in both orders."""


@dataclass(frozen=True)
class PlanRow:
    """One step."""

    step: str
    state: State
    reason: str
    builds_on: str
    cost: str


@dataclass(frozen=True)
class Explained:
    """A study's plan with its costs; None where something is not known yet."""

    study: str
    root: Path
    rows: list[PlanRow]
    training_rows: int
    """Rows times epochs, of the trainings that would run."""
    disk_bytes: int | None
    """Of the checkpoints that would be made."""
    judge_models: list[str]
    judge_calls: int | None
    """Calls that would be made, before identical answers are left out."""
    seconds: float | None
    """Of one core, from the seconds of finished steps of the same kinds."""


def explain(study: Path, out: Path | None = None, *, seed: int | None = None) -> Explained:
    """Say what `mixmerge.run` would do with a study file.

    Raises:
        SpecError: the study file is wrong, with the line.
    """
    prepared = prepare(study, out, seed=seed)
    planned = plan(prepared.steps, Store(prepared.root))
    todo = [item for item in planned if item.state != "done"]
    return Explained(
        study=prepared.study.study,
        root=prepared.root,
        rows=[_row(prepared.study, item) for item in planned],
        training_rows=sum(_trained_rows(prepared.study, item) for item in todo),
        disk_bytes=_disk(planned, todo),
        judge_models=_judge_models(prepared.study),
        judge_calls=_judge_calls(prepared.study, planned, todo),
        seconds=_seconds(planned, todo),
    )


def _row(study: Study, item: Planned) -> PlanRow:
    step = item.step
    parents = list(dict.fromkeys(step.inputs.values()))
    shown = ", ".join(parents) if len(parents) <= 4 else f"{len(parents)} steps"
    return PlanRow(step.id, item.state, item.reason, shown, _cost(study, item))


def _cost(study: Study, item: Planned) -> str:
    settings = item.step.settings
    if item.record is not None:
        return f"took {item.record['seconds']:.1f} s"
    if item.step.kind == "mix":
        return f"{settings['size']:,} {settings.get('unit', 'rows')}"
    if item.step.kind == "train":
        recipe = TrainSpec(**settings)
        rows = _trained_rows(study, item)
        how = "all weights" if recipe.adapter is None else f"LoRA, rank {recipe.adapter.rank}"
        return f"{recipe.method.upper()}, {rows // recipe.batch_size:,} steps, {how}"
    if item.step.kind == "merge":
        return str(settings["method"])
    return ""


def _trained_rows(study: Study, item: Planned) -> int:
    if item.step.kind != "train":
        return 0
    checkpoint = study.checkpoints[item.step.name]
    assert isinstance(checkpoint, Trained)
    recipe = study.training[checkpoint.train]
    return recipe.steps(study.mixtures[checkpoint.mixture].size) * recipe.batch_size


def _disk(planned: list[Planned], todo: list[Planned]) -> int | None:
    """Estimate the weights to write from the base model's, which must be here."""
    (base,) = (item for item in planned if item.step.kind == "base")
    folder = model_path(base.folder) if base.folder is not None else None
    if folder is None and "model" in base.step.files:
        folder = Path(base.step.files["model"])
    if folder is None or not folder.is_dir():
        return None
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return size * sum(item.step.kind in ("train", "merge") for item in todo)


def _judge_models(study: Study) -> list[str]:
    judges = (spec.judge for spec in study.evaluate.axes().values())
    return list(dict.fromkeys(j.model for j in judges if isinstance(j, EndpointJudgeSpec)))


def _judge_calls(study: Study, planned: list[Planned], todo: list[Planned]) -> int | None:
    counts: Mapping[str, Any] = {
        item.step.name: item.record["facts"]["rows"]
        for item in planned
        if item.step.kind == "prompts" and item.record is not None
    }
    calls = 0
    for axis, spec in study.evaluate.axes().items():
        if not isinstance(spec.judge, EndpointJudgeSpec):
            continue
        if axis not in counts:
            return None
        judged = sum(
            item.step.kind == "judge" and (axis != "general" or item.step.name != "base")
            for item in todo
        )
        calls += counts[axis] * _ORDERS[axis] * judged
    return calls


def _seconds(planned: list[Planned], todo: list[Planned]) -> float | None:
    """Scale the expected seconds of what is to do by how long finished steps really took."""
    done = [item for item in planned if item.record is not None]
    expected = sum(item.step.needs.seconds for item in done)
    if not expected:
        return None
    took = sum(float(item.record["seconds"]) for item in done if item.record is not None)
    return took / expected * sum(item.step.needs.seconds for item in todo)
