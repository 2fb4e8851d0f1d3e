"""``calibrate/study``: test the judges, after the results or alone before any judging."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mixmerge.evaluation.calibration.labels import CalibrateSpec
from mixmerge.evaluation.measures import MeasuredAxis
from mixmerge.execution.step import Step, Task
from mixmerge.files import read_json, read_rows, write_json
from mixmerge.progress import Progress
from mixmerge.records import Axis, Prompt, Response, RowModel, Verdict
from mixmerge.records.results import Contrast, read_results
from mixmerge.spec_model import SpecModel
from mixmerge.study.spec import BASE, Study
from mixmerge.study.steps.judge import TRIAL, JudgedAxis, judge_for, judge_threads, judged_axes
from mixmerge.study.steps.kind import ROWS, StepKind
from mixmerge.study.steps.results import RESULTS
from mixmerge.testbed.judge import RuleJudge

CARD = "judge_card.json"


class TriedAxis(JudgedAxis, MeasuredAxis):
    """An axis with its question, judge and measure."""

    primary: bool


class CalibrateSettings(SpecModel):
    """The labels that judges are compared with, and the answers."""

    calibrate: dict[str, Any]
    axes: dict[Axis, TriedAxis]
    models: list[str]
    """The base model first."""
    seed: int


class CalibrateFacts(RowModel):
    """The grade of each judge."""

    grades: dict[Axis, str]


class Calibrate(StepKind[CalibrateSettings, CalibrateFacts], kind="calibrate"):
    """Tests the judges and writes the judge card."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield the step after the results, if the study has a `calibrate` section."""
        if study.evaluate.calibrate is not None:
            yield self.step(study, judged=True)

    def step(self, study: Study, *, judged: bool) -> Step:
        """Return the step of a study with a `calibrate` section.

        If the judges have not ``judged`` all answers before, they judge only labelled answers and
        probes.
        """
        asked = study.evaluate.calibrate
        assert asked is not None
        models = [BASE, *study.checkpoints]
        axes, placement, files, needs = judged_axes(study, study.evaluate)
        given = {"labels": asked.labels, "drawn": asked.drawn}
        files |= {role: str(path) for role, path in given.items() if path is not None}
        for axis, spec in study.evaluate.judged.items():
            axes[axis] |= {"better": spec.better, "primary": axis in study.evaluate.deciding}
        settings = {
            "calibrate": asked.model_dump(
                mode="json", exclude={"labels", "drawn"}, exclude_none=True
            ),
            "axes": axes,
            "models": models,
            "seed": study.seed,
        }
        inputs = {f"prompts:{axis}": f"prompts/{axis}" for axis in axes}
        inputs |= {f"answers:{each}": f"generate/{each}" for each in models}
        if judged:
            inputs |= {f"verdicts:{each}": f"judge/{each}" for each in models}
            inputs |= {"results": "results/study"}
        name, needs = "study" if judged else "trial", replace(needs, seconds=5)
        return Step(self.kind, name, settings, inputs, files, placement, needs=needs, version=3)

    def run(self, task: Task, settings: CalibrateSettings, progress: Progress) -> CalibrateFacts:
        """Test the judges and write ``judge_card.json``."""
        from mixmerge.evaluation.calibration.calibrate import calibrate
        from mixmerge.evaluation.calibration.material import Material

        given = {role: task.files[role] for role in ("labels", "drawn") if role in task.files}
        asked = settings.calibrate | given
        journal = task.cache / "judge" / TRIAL
        materials = [
            Material(
                question=asked_of.measure.question(axis),
                info=asked_of.measure.info(asked_of.better, primary=asked_of.primary),
                judge=judge_for(task, axis, journal),
                prompts=read_rows(task.inputs[f"prompts:{axis}"] / ROWS, Prompt),
                answers={
                    name: _answers(task, name, asked_of.answers or axis) for name in settings.models
                },
                base=BASE,
                verdicts={
                    name: read_rows(_file(task, "verdicts", name, axis), Verdict)
                    for name in settings.models
                    if f"verdicts:{name}" in task.inputs
                    and _file(task, "verdicts", name, axis).is_file()
                },
                worth=asked_of.measure.worth,
            )
            for axis, asked_of in settings.axes.items()
        ]
        with judge_threads(task):
            card = calibrate(
                CalibrateSpec(**asked),
                materials,
                rules=RuleJudge(),
                contrasts=_contrasts(task),
                seed=settings.seed,
                progress=progress,
            )
        write_json(task.folder / CARD, card.model_dump(mode="json"))
        return CalibrateFacts(grades={axis: trial.grade for axis, trial in card.axes.items()})


def _contrasts(task: Task) -> Sequence[Contrast]:
    if "results" not in task.inputs:
        return ()
    file = task.inputs["results"] / RESULTS
    return read_results(read_json(file), str(file)).contrasts


def _answers(task: Task, name: str, axis: Axis) -> dict[str, Response]:
    return {row.prompt: row for row in read_rows(_file(task, "answers", name, axis), Response)}


def _file(task: Task, role: str, name: str, axis: Axis) -> Path:
    return task.inputs[f"{role}:{name}"] / f"{axis}.jsonl"


KINDS = (Calibrate(),)
