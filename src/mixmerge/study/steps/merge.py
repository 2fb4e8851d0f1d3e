"""``merge/CHECKPOINT``: merge checkpoints."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from mixmerge.execution.engines import helpers_here
from mixmerge.execution.step import Needs, Step, Task
from mixmerge.merging.methods import METHODS
from mixmerge.merging.recipes.recipe import MergeRecipe
from mixmerge.merging.spec import MergePlacement, MergeSpec
from mixmerge.progress import Progress
from mixmerge.study.adapters import ADAPTER, adapts
from mixmerge.study.spec import BASE, Study, model_step
from mixmerge.study.steps.kind import MODEL, NoFacts, StepKind, model_path, within_cores

_ADAPTED = "@adapted"
"""Role of the model that the adapters were trained on; no checkpoint has such a name."""


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
            if merge.adapter is not None:
                adapted = adapts(study, next(iter(merge.models)))
                assert adapted is not None  # a study is checked when it is read
                inputs[_ADAPTED] = model_step(study, adapted)
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
        recipe = settings.to_recipe(paths, paths[BASE])
        run = partial(
            merge,
            seed=settings.seed,
            threads=MergePlacement.model_validate(within_cores(task.placement)).threads,
            helpers=helpers_here(),
            progress=progress,
        )
        if settings.adapter is not None:
            # Written as it is evaluated: the model with the adapter that is kept beside it.
            run(of_adapters(recipe, paths[_ADAPTED]), task.folder / ADAPTER)
            recipe = with_adapter_in(recipe, paths[_ADAPTED], task.folder / ADAPTER)
        run(recipe, task.folder / MODEL)
        return NoFacts()

    def cost(self, settings: MergeSettings, rows: int) -> str:
        """Return the method."""
        del rows
        return settings.method


def of_adapters(recipe: MergeRecipe, adapted: Path) -> MergeRecipe:
    """Return a recipe that reads each model as what it adapts and the adapter beside the model."""
    models = tuple(
        model.model_copy(update={"path": f"{adapted}+{Path(model.path).with_name(ADAPTER)}"})
        for model in recipe.models
    )
    base = recipe.base and recipe.base.model_copy(update={"path": str(adapted)})
    return recipe.model_copy(update={"models": models, "base": base})


def with_adapter_in(recipe: MergeRecipe, adapted: Path, adapter: Path) -> MergeRecipe:
    """Return a recipe for the model with an adapter, with the small files of the first model."""
    first = recipe.models[0]
    weights = {f"{adapted}+{adapter}": 1.0, first.path: 0.0}
    models = [
        {"name": name, "path": name, "parameters": {"weight": weight}}
        for name, weight in weights.items()
    ]
    content = {"method": "linear", "models": models, "dtype": recipe.dtype}
    return MergeRecipe.model_validate(content | {"files_from": first.path})


KINDS = (Merge(),)
