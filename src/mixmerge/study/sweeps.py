"""Problems of sweeps, and of the steps that trainings keep."""

from collections.abc import Iterator

from mixmerge.merging.methods import METHODS
from mixmerge.spec_model import Problem, unknown_name
from mixmerge.study.checkpoints import Kept, Merged
from mixmerge.study.selection import StepSweep, SweepSpec
from mixmerge.study.spec import Study
from mixmerge.training.kept import too_late


def sweep_problems(study: Study) -> Iterator[Problem]:
    """Find sweeps of what a merge does not have, and names that another checkpoint has."""
    for name, checkpoint in study.checkpoints.items():
        if isinstance(checkpoint, Merged) and checkpoint.sweep is not None:
            yield from _sweep(study, name, checkpoint, checkpoint.sweep)


def _sweep(
    study: Study, name: str, merged: Merged, sweep: SweepSpec | StepSweep
) -> Iterator[Problem]:
    place = ("checkpoints", name, "sweep")
    if isinstance(sweep, StepSweep):
        yield from _steps(study, name, merged, sweep)
    elif sweep.weight_of not in merged.merge.models:
        yield (*place, "weight_of"), unknown_name(sweep.weight_of, "models", merged.merge.models)
        return
    elif METHODS[merged.merge.method].parameter("weight") is None:
        yield place, f"{merged.merge.method} has no weights to try."
        return
    taken = [each for each in study.swept(name) if each in study.checkpoints]
    if taken:
        yield place, f"tries `{taken[0]}`, which is the name of another checkpoint."


def _steps(study: Study, name: str, merged: Merged, sweep: StepSweep) -> Iterator[Problem]:
    """Find models of a merge over steps that were not kept at one of them."""
    place = ("checkpoints", name, "sweep", "steps")
    for model in merged.merge.models:
        known, last = study.lengths(model), study.last_step(model)
        absent = [step for step in sweep.steps if step not in known]
        if model in study.checkpoints and model not in study.trained():
            yield place, f"`{model}` is no training of this study, so it has no steps."
        elif absent and model in study.checkpoints:
            kept = ", ".join(map(str, known)) or "none"
            ends = "" if last is None else f", and ends at {last}"
            recipe = getattr(study.checkpoints[model], "train", "")
            said = f"`{model}` has no step {absent[0]} (known: {kept}{ends})"
            yield place, f"{said}. Name it in `training.{recipe}.keep_steps`."


def kept_problems(study: Study) -> Iterator[Problem]:
    """Find kept steps that a training does not reach, and names that another checkpoint has."""
    for name, checkpoint in study.trained().items():
        recipe = study.training.get(checkpoint.train)
        last = study.last_step(name)
        if recipe is None:
            continue
        if last and recipe.max_steps is None and (said := too_late(recipe.keep_steps, last)):
            yield ("training", checkpoint.train, "keep_steps"), f"of `{name}`: {said}."
        for step in recipe.keep_steps:
            made = f"{name}-{step}"
            if not isinstance(study.checkpoints[made], Kept):
                said = f"is the name that step {step} of `{name}` has: choose another one."
                yield ("checkpoints", made), said
