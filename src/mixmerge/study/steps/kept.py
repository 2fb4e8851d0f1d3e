"""``kept/CHECKPOINT-STEP``: the model of a training as it was after one of its steps."""

import os
from collections.abc import Iterable

from mixmerge.errors import ModelError
from mixmerge.execution.step import Step, Task
from mixmerge.files import read_json, write_json
from mixmerge.progress import Progress
from mixmerge.spec_model import SpecModel
from mixmerge.study.spec import Study
from mixmerge.study.steps.kind import MODEL, POINTER, StepKind
from mixmerge.study.steps.train import Train, TrainFacts, facts_of


class KeptSettings(SpecModel):
    """Which of the weights."""

    step: int


class KeptModel(StepKind[KeptSettings, TrainFacts], kind="kept"):
    """Points to the weights that a training kept; its facts count the steps up to there."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield a step for each kept one."""
        for name, kept in study.kept().items():
            inputs = {"model": f"{Train.kind}/{kept.of}"}
            yield Step(self.kind, name, {"step": kept.step}, inputs)

    def run(self, task: Task, settings: KeptSettings, progress: Progress) -> TrainFacts:
        """Find the weights.

        Raises:
            ModelError: they are not there.
        """
        from mixmerge.training.kept import kept_at
        from mixmerge.training.report import TrainReport

        progress(0, 1, f"step {settings.step}")
        kept = kept_at(task.inputs["model"], settings.step)
        if not (kept / "report.json").is_file():
            raise ModelError(
                f"{kept}: no model. If it was deleted, delete {task.inputs['model']} too, and the "
                "run trains it again; an adopted checkpoint has no kept steps."
            )
        write_json(task.folder / POINTER, {"path": os.path.relpath(kept / MODEL, task.folder)})
        return facts_of(TrainReport.model_validate(read_json(kept / "report.json")))


KINDS = (KeptModel(),)
