"""``train/CHECKPOINT``: train a checkpoint."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mixmerge.execution.plan import Planned
from mixmerge.execution.step import Needs, Step, Task
from mixmerge.files import read_rows
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, ModelFolder, RowModel, TrainingPrompt
from mixmerge.study.checkpoints import Trained
from mixmerge.study.spec import BASE, Study, expected_rows, model_step
from mixmerge.study.steps.answers import answers_step, teachers_of
from mixmerge.study.steps.kind import ROWS, StepKind, inputs_of, model_path, within_cores
from mixmerge.study.steps.mix import Mix, form_for, mixed
from mixmerge.study.steps.rewards import RewardAxis, check_rows, reward_for, rewarding
from mixmerge.training.spec import TrainPlacement, TrainSpec

if TYPE_CHECKING:
    from mixmerge.training.report import TrainReport

_SECONDS_PER_ROW = 0.01
"""Of the testbed's model on one core; only ratios between steps matter."""


class TrainSettings(TrainSpec):
    """A training recipe, and the judges of its reward."""

    judges: dict[Axis, RewardAxis] = Field(default={}, exclude_if=lambda judges: not judges)
    """The axes that `reward` names."""

    def recipe(self) -> TrainSpec:
        """Return the recipe alone."""
        return TrainSpec.model_validate(self.model_dump(exclude={"judges"}))


class TrainFacts(RowModel):
    """What a training read, and what that took."""

    tokens: int
    rows: int
    """Distinct rows."""
    steps: int
    reference_tokens: int = 0
    generated_tokens: int = 0
    """Written by the model itself in training."""
    teacher_tokens: int = 0
    flops: int | None = None
    """None in the records of older trainings, and where they depend on answers that are gone."""
    notes: list[str] = []
    """What the report says about its rows and answers, a sentence each."""


class Train(StepKind[TrainSettings, TrainFacts], kind="train"):
    """Trains one checkpoint."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield a step for each trained checkpoint."""
        for name, checkpoint in study.trained().items():
            yield self._step(study, name, checkpoint)

    def _step(self, study: Study, name: str, checkpoint: Trained) -> Step:
        recipe = study.training[checkpoint.train]
        if "seed" not in recipe.model_fields_set:
            recipe = recipe.model_copy(update={"seed": study.seed})
        if not recipe.chat_template:
            recipe = recipe.model_copy(update={"chat_template": study.chat_template})
        inputs = {
            "model": model_step(study, checkpoint.start or BASE),
            "rows": f"mix/{mixed(checkpoint.mixture, form_for(study, name))}",
        }
        if study.answered(name):
            inputs["answers"] = answers_step(study, name)
        else:
            inputs |= teachers_of(study, checkpoint)
        where = study.placement.train
        placement = where.model_dump(mode="json")
        if study.tracking is not None:
            placement["tracking"] = study.tracking.model_dump(mode="json")
        mixture = study.mixtures[checkpoint.mixture]
        rows = recipe.steps(expected_rows(mixture.size, mixture.unit)) * recipe.batch_size
        needs = Needs(
            cpus=where.devices * (where.threads or 1),
            gpus=where.devices if where.device == "auto" else 0,
            nodes=where.nodes,
            processes=where.devices,
            seconds=rows * _SECONDS_PER_ROW * recipe.objective.relative_cost,
        )
        settings = recipe.model_dump(mode="json")
        files: dict[str, str] = {}
        if recipe.objective.rewarded:
            settings["judges"], placement["reward"], files, of_judges = rewarding(study, recipe)
            needs = replace(
                needs,
                cpus=max(needs.cpus, of_judges.cpus),
                gpus=max(needs.gpus, of_judges.gpus),
                memory_gb=of_judges.memory_gb,
            )
        return Step(self.kind, name, settings, inputs, files, placement, needs=needs, version=2)

    def run(self, task: Task, settings: TrainSettings, progress: Progress) -> TrainFacts:
        """Train."""
        from mixmerge.training.run import train

        if settings.judges:
            check_rows(task, settings.judges, read_rows(task.inputs["rows"] / ROWS, TrainingPrompt))
        report = train(
            settings.recipe(),
            model=model_path(task.inputs["model"]),
            rows=rows_of(task.inputs),
            out=task.folder,
            placement=placement_of(within_cores(task.placement)),
            reference_cache=task.cache / "reference",
            reward=reward_for(task, settings.judges) if settings.judges else None,
            teachers={
                source: model_path(folder) for source, folder in inputs_of(task, "teacher").items()
            },
            progress=progress,
        )
        return facts_of(report)

    def cost(self, settings: TrainSettings, rows: int) -> str:
        """Return the objective, the optimizer steps and the trained weights in words."""
        adapter = settings.adapter
        lora = "QLoRA" if settings.quantized else "LoRA"
        how = "all weights" if adapter is None else f"{lora}, rank {adapter.rank}"
        return f"{settings.objective.label}, {rows // settings.batch_size:,} steps, {how}"

    def adopted(
        self, settings: TrainSettings, model: ModelFolder, inputs: Mapping[str, Path]
    ) -> TrainFacts:
        """Count what the study's training would have read, for the costs in the results.

        Where the model answers the prompts itself, only the prompts are known.
        """
        from mixmerge.training.data import read_data
        from mixmerge.training.plan import row_order
        from mixmerge.training.report import training_flops

        read = read_data(settings, model, rows_of(inputs), silent).encoded.read
        steps = settings.steps(len(read))
        prompts = settings.batch_size // settings.answers_per_prompt
        order = row_order(len(read), prompts, steps, settings.seed)
        tokens = int(read[order].sum()) * settings.answers_per_prompt
        reference, others = settings.objective.untrained_tokens(read, order)
        # The shape of an adapter is not known here; its weights are few beside the model's.
        trained = model.weights if settings.adapter is None else 0
        flops = training_flops(model.weights, trained, tokens, forward_tokens=reference + others)
        return TrainFacts(
            tokens=tokens,
            rows=len(read),
            steps=steps,
            reference_tokens=reference,
            flops=None if settings.objective.online else flops,
        )


def facts_of(report: "TrainReport") -> TrainFacts:
    """Return what a training or its first steps took."""
    used = sum(count.used for count in report.rows.values())
    return TrainFacts(
        tokens=report.tokens,
        # Passes go through all rows in turn, so the first steps of the first pass see new ones.
        rows=round(used * min(1.0, report.epochs)),
        steps=report.steps,
        reference_tokens=report.reference_tokens,
        generated_tokens=report.generated_tokens,
        teacher_tokens=sum(report.teacher_tokens.values()),
        flops=report.flops,
        notes=[*report.notes_on_rows],
    )


def placement_of(placement: Mapping[str, Any]) -> TrainPlacement:
    """Return where a training runs, from its step's placement, which also says how judges do."""
    own = {key: value for key, value in placement.items() if key != "reward"}
    return TrainPlacement.model_validate(own)


def rows_of(inputs: Mapping[str, Path]) -> Path:
    """Return the rows of a training: its mixture's, or these as teachers have answered them."""
    return inputs.get("answers", inputs["rows"]) / ROWS


def trained_rows(item: Planned, planned: Mapping[str, Planned]) -> int:
    """Return the rows that a training step reads over all epochs; 0 for other steps."""
    if item.step.kind != Train.kind:
        return 0
    recipe = Train().read_settings(item.step)
    mix = planned[item.step.inputs["rows"]]
    asked = Mix().read_settings(mix.step)
    rows = Mix().read_facts(mix.record).rows if mix.record else None
    return recipe.steps(rows or expected_rows(asked.size, asked.unit)) * recipe.batch_size


KINDS = (Train(),)
