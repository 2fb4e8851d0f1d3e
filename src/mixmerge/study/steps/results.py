"""``results/study``: estimate ``results.json`` from all verdicts."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mixmerge.evaluation.measures import MeasuredAxis
from mixmerge.evaluation.spec import ResultsSpec
from mixmerge.execution.step import Needs, Step, Task
from mixmerge.execution.store import RECORD
from mixmerge.files import read_json, read_rows, write_json
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Response, Results, RowModel, Verdict
from mixmerge.records.advice import Advice, Priority
from mixmerge.records.results import Costs, ModelInfo
from mixmerge.study.arms import arm
from mixmerge.study.rounds import rounds
from mixmerge.study.spec import BASE, Study, model_step
from mixmerge.study.steps.answers import Answers, answers_step
from mixmerge.study.steps.harness import scored_name
from mixmerge.study.steps.kind import Folders, StepKind, inputs_of, model_path
from mixmerge.study.steps.score import Score
from mixmerge.study.steps.select import Select
from mixmerge.study.steps.train import Train, TrainFacts

RESULTS = "results.json"

Placed = TypeVar("Placed", Advice, Priority)


class ReportedModel(ModelInfo):
    """A model with the steps that it depends on and whose costs it bears."""

    trainings: list[str] = []
    """Trained checkpoints by name, and what teachers answered for them as ``answers/NAME``."""


class ResultsSettings(ResultsSpec):
    """The axes, models and statistics of the results."""

    models: dict[str, ReportedModel]


class ResultsFacts(RowModel):
    """The number of models."""

    models: int


class StudyResults(StepKind[ResultsSettings, ResultsFacts], kind="results"):
    """Computes the results of a study."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield the one step."""
        models = [BASE, *study.checkpoints]
        inputs = {
            f"verdicts:{role}": step
            for name in [*models, *study.measured_merges()]
            for role, step in verdict_steps(study, name).items()
        }
        if study.evaluate.judged:
            inputs |= {f"answers:{name}": f"generate/{name}" for name in models}
        every = _trainings(study, *models[1:])
        inputs |= {f"trained:{each}": costing_step(study, each) for each in every}
        inputs |= {f"chosen:{name}": f"{Select.kind}/{name}" for name in chosen_lengths(study)}
        settings = results_settings(study).model_dump(mode="json")
        yield Step(self.kind, "study", settings, inputs, needs=Needs(seconds=10), version=10)

    def run(self, task: Task, settings: ResultsSettings, progress: Progress) -> ResultsFacts:
        """Compute and write ``results.json``."""
        groups = (inputs_of(task, group) for group in ("verdicts", "trained", "answers", "chosen"))
        found = compute_results(settings, *groups, progress=progress)
        write_json(task.folder / RESULTS, found.model_dump(mode="json"))
        return ResultsFacts(models=len(found.models))


def _trainings(study: Study, *names: str) -> list[str]:
    """Return what `ReportedModel.trainings` names for these models, each once."""
    trained = list(dict.fromkeys(each for name in names for each in study.trainings(name)))
    answered = [answers_step(study, each) for each in trained if study.answered(each)]
    return list(dict.fromkeys([*trained, *answered]))


def costing_step(study: Study, training: str) -> str:
    """Return the id of a step that `ReportedModel.trainings` names."""
    return training if "/" in training else model_step(study, training)


def _facts(training: str, record: Mapping[str, Any]) -> TrainFacts:
    if "/" not in training:
        return Train().read_facts(record)
    told = Answers().read_facts(record)
    return TrainFacts(
        tokens=0,
        rows=0,
        steps=0,
        generated_tokens=told.tokens,
        teacher_tokens=told.teacher_tokens,
        flops=told.flops,
    )


def verdict_steps(study: Study, name: str) -> dict[str, str]:
    """Return the steps that write a model's verdicts, by the model or, for one axis, MODEL@AXIS."""
    judged = {name: f"judge/{name}"} if study.evaluate.judged else {}
    scored = [scored_name(name, axis) for axis in study.evaluate.scored]
    return judged | {each: f"{Score.kind}/{each}" for each in scored}


def chosen_lengths(study: Study) -> list[str]:
    """Return the merges over steps, which are chosen on the prompts of `selection`."""
    return [name for name in study.by_length() if study.candidates(name)]


def results_settings(study: Study) -> ResultsSettings:
    """Return the settings of the step ``results/study``."""
    return ResultsSettings(
        study=study.study,
        prompts_of={
            axis: first
            for axis in study.evaluate.judged
            if (first := study.evaluate.answered(axis)) != axis
        },
        seed=study.seed,
        draws=study.evaluate.draws,
        axes={
            # Where a log says which direction is better, `compute_results` reads it.
            axis: MeasuredAxis(
                measure=spec.measure, better=spec.better or "higher", margin=spec.margin
            )
            for axis, spec in study.evaluate.axes.items()
        },
        decide_on=list(study.evaluate.deciding),
        models={
            name: ReportedModel(
                stage=study.stage(name),
                kind=study.kind(name),
                arm=arm(study, name),
                candidates=len(study.candidates(name)),
                method=study.method(name),
                shares=study.shares(name),
                trainings=_trainings(study, name),
            )
            for name in study.checkpoints
        },
        baselines=study.baselines(),
        match_on=study.evaluate.match_on,
        sweeps=study.measured_sweeps(),
        lengths=study.by_length(),
        chosen_on=rounds(study)[-1].weights if chosen_lengths(study) else {},
        weights=study.selection.weights if study.selection else {},
        limits=study.selection.limits if study.selection else {},
    )


def compute_results(
    settings: ResultsSettings,
    verdicts: Folders,
    trained: Folders,
    answers: Folders,
    chosen: Folders,
    *,
    progress: Progress = silent,
) -> Results:
    """Compute the results of the models that have ``verdicts``, by the roles of `verdict_steps`.

    ``answers`` give lengths and finish reasons, trainings give tokens and rows, and the ``chosen``
    merges over steps their best step.
    """
    from mixmerge.evaluation.results import results as estimate

    progress(0, 1, "bootstrap")
    settings = settings.model_copy(update={"axes": _with_directions(settings, verdicts)})
    told: dict[str, dict[Axis, list[Verdict]]] = {}
    for role, folder in verdicts.items():
        told.setdefault(role.partition("@")[0], {}).update(read_verdicts(folder))
    described = {name: info for name, info in settings.models.items() if name in told}
    models = {BASE: ModelInfo(kind="base")} | {
        name: ModelInfo(**info.model_dump(exclude={"trainings"}))
        for name, info in described.items()
    }
    read = {name: _facts(name, read_json(folder / RECORD)) for name, folder in trained.items()}
    return estimate(
        settings,
        BASE,
        models,
        told,
        answers={
            axis: {
                name: read_rows(
                    answers[name] / f"{settings.prompts_of.get(axis, axis)}.jsonl", Response
                )
                for name in models
            }
            for axis in settings.axes
            if scored_name(BASE, axis) not in verdicts
        },
        costs={
            name: _costs([read[training] for training in info.trainings])
            for name, info in described.items()
        },
        chosen={n: Select().read_facts(read_json(f / RECORD)).winner for n, f in chosen.items()},
    )


def _costs(trainings: Sequence[TrainFacts]) -> Costs:
    flops = [each.flops for each in trainings]
    known = [count for count in flops if count is not None]
    return Costs(
        training_tokens=sum(each.tokens for each in trainings),
        training_rows=sum(each.rows for each in trainings),
        optimizer_steps=sum(each.steps for each in trainings),
        reference_tokens=sum(each.reference_tokens for each in trainings),
        generated_tokens=sum(each.generated_tokens for each in trainings),
        teacher_tokens=sum(each.teacher_tokens for each in trainings),
        flops=sum(known) if len(known) == len(flops) else None,
    )


def with_folders(found: Results, study: Study, folders: Folders, run: Path) -> Results:
    """Add the folders of the models that the advice names, from the ``folders`` of the run's steps.

    `compute_results` leaves them out, since a run can be moved.
    """

    def place(named: Placed) -> Placed:
        name = named.model if isinstance(named, Priority) else named.choice
        step = folders.get(model_step(study, name)) if name else None
        if step is None:
            return named
        path = Path(os.path.normpath(model_path(step).absolute()))
        root = run.absolute()
        shown = path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
        return named.model_copy(update={"folder": shown})

    if found.advice is None:
        return found
    priorities = tuple(map(place, found.advice.priorities))
    advice = place(found.advice).model_copy(update={"priorities": priorities})
    return found.model_copy(update={"advice": advice})


def _with_directions(settings: ResultsSettings, verdicts: Folders) -> dict[Axis, MeasuredAxis]:
    """Return the axes with the directions that harnesses and logs state."""
    scored = {axis: verdicts.get(scored_name(BASE, axis)) for axis in settings.axes}
    read = {a: Score().read_facts(read_json(f / RECORD)).better for a, f in scored.items() if f}
    return {
        axis: spec.model_copy(update={"better": read.get(axis, spec.better)})
        for axis, spec in settings.axes.items()
    }


def read_verdicts(folder: Path) -> dict[Axis, list[Verdict]]:
    """Read the verdicts of one model by axis."""
    return {file.stem: read_rows(file, Verdict) for file in sorted(folder.glob("*.jsonl"))}


KINDS = (StudyResults(),)
