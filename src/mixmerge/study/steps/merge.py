"""``merge/CHECKPOINT``: merge checkpoints."""

from collections.abc import Iterable

from mixmerge.execution.engines import helpers_here
from mixmerge.execution.step import Needs, Step, Task
from mixmerge.merging.methods import METHODS
from mixmerge.merging.spec import MergePlacement, MergeSpec
from mixmerge.progress import Progress
from mixmerge.study.spec import BASE, Study, model_step
from mixmerge.study.steps.kind import MODEL, NoFacts, StepKind, model_path, within_cores


class MergeSettings(MergeSpec):
    """A merge and the seed of its random draws."""

    seed: int


class Merge(StepKind[MergeSettings, NoFacts], kind="merge"):
    """Merges checkpoints."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield a step for each merge, including those of sweeps."""
        placement = study.placement.merge.model_dump(mode="json")
        needs = Needs(cpus=study.placement.merge.threads)
        for name, merge in study.merges().items():
            inputs = {parent: model_step(study, parent) for parent in merge.checkpoints}
            yield Step(
                self.kind,
                name,
                merge.model_dump(mode="json") | {"seed": study.seed},
                inputs | {BASE: model_step(study, BASE)},
                placement=placement,
                needs=needs,
                version=METHODS[merge.method].version,
            )

    def run(self, task: Task, settings: MergeSettings, progress: Progress) -> NoFacts:
        """Merge."""
        from mixmerge.merging.engine import merge

        paths = {name: model_path(folder) for name, folder in task.inputs.items()}
        merge(
            settings.to_recipe(paths, paths[BASE]),
            task.folder / MODEL,
            seed=settings.seed,
            threads=MergePlacement.model_validate(within_cores(task.placement)).threads,
            helpers=helpers_here(),
            progress=progress,
        )
        return NoFacts()

    def cost(self, settings: MergeSettings, rows: int) -> str:
        """Return the method."""
        del rows
        return settings.method


KINDS = (Merge(),)
