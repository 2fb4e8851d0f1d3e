"""``harness/MODEL@AXIS``: run a task of lm-eval or inspect on one model."""

import shutil
from collections.abc import Iterable
from typing import Any

from mixmerge.evaluation.sources import SOURCES, HarnessSpec, ScoredAxis
from mixmerge.evaluation.sources.source import HarnessRun
from mixmerge.execution.environment import cpu_threads
from mixmerge.execution.step import Needs, Step, Task
from mixmerge.progress import Progress
from mixmerge.records import Axis
from mixmerge.spec_model import SpecModel
from mixmerge.study.rounds import rounds
from mixmerge.study.spec import Study, model_step
from mixmerge.study.steps.kind import NoFacts, StepKind, model_path, within_cores

LOG = "log"
"""Name of the folder of the harness's own log."""


class HarnessSettings(SpecModel):
    """The task."""

    harness: str
    """The key of the harness in a study file."""
    task: dict[str, Any]
    """What `HarnessSpec.identity` returned, with the harness's version."""
    seed: int


class Harness(StepKind[HarnessSettings, NoFacts], kind="harness"):
    """Runs one task on one model."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield a step for each axis that a harness measures, and each model."""
        models = rounds(study)[0].models
        for axis, spec in study.evaluate.scored.items():
            if isinstance(spec.source, HarnessSpec):
                for name in models:
                    yield self._step(study, axis, spec, spec.source, name)

    def _step(
        self, study: Study, axis: Axis, spec: ScoredAxis, source: HarnessSpec, name: str
    ) -> Step:
        where = study.placement.generate
        return Step(
            self.kind,
            scored_name(name, axis),
            {"harness": spec.key, "task": source.identity(), "seed": study.seed},
            {"model": model_step(study, name)},
            {role: str(path) for role, path in source.paths().items()},
            where.model_dump(mode="json")
            | {
                "axis": spec.model_dump(mode="json", include={spec.key}),
                "allow_execution": study.evaluate.allow_execution,
                "model": name,
            },
            needs=Needs(cpus=where.threads, gpus=1, seconds=10),
        )

    def run(self, task: Task, settings: HarnessSettings, progress: Progress) -> NoFacts:
        """Run the task."""
        placement = within_cores(task.placement)
        source = SOURCES[settings.harness].model_validate(placement["axis"]).source
        assert isinstance(source, HarnessSpec)
        progress(0, 1, f"{settings.harness} {source.task}")
        log, cache = task.folder / LOG, task.cache / self.kind / task.folder.name
        log.mkdir(exist_ok=True)
        cache.parent.mkdir(parents=True, exist_ok=True)
        asked = HarnessRun(
            model=model_path(task.inputs["model"]),
            name=placement["model"],
            out=log,
            cache=cache,
            files=task.files,
            batch_size=placement["batch_size"],
            seed=settings.seed,
            allow_execution=placement["allow_execution"],
        )
        with cpu_threads(placement["threads"]):
            source.run(asked)
        for made in cache.parent.glob(f"{cache.name}*"):
            shutil.rmtree(made) if made.is_dir() else made.unlink()
        return NoFacts()

    def cost(self, settings: HarnessSettings, rows: int) -> str:
        """Name the harness and its task."""
        del rows
        return f"{settings.harness}, {settings.task['task']}"


def scored_name(model: str, axis: Axis) -> str:
    """Return the name of the steps that score a model on an axis."""
    return f"{model}@{axis}"


KINDS = (Harness(),)
