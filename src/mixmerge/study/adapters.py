"""Merges of adapters in a study: which checkpoints are adapters, and of what."""

from collections.abc import Iterable, Iterator

from mixmerge.spec_model import Problem
from mixmerge.study.checkpoints import Merged, Selected, Trained
from mixmerge.study.spec import BASE, Study

ADAPTER = "adapter"
"""Folder of a checkpoint's adapter, beside that of its model."""


def adapts(study: Study, name: str) -> str | None:
    """Return the checkpoint that another one adapts; None if it is not an adapter."""
    checkpoint = study.checkpoints.get(name)
    if isinstance(checkpoint, Trained):
        recipe = study.training.get(checkpoint.train)
        return None if recipe is None or recipe.adapter is None else checkpoint.start or BASE
    if isinstance(checkpoint, Merged) and checkpoint.merge.adapter is not None:
        return _common(study, checkpoint.merge.models)
    return _common(study, checkpoint.select) if isinstance(checkpoint, Selected) else None


def _common(study: Study, names: Iterable[str]) -> str | None:
    found = {adapts(study, name) for name in names}
    return found.pop() if len(found) == 1 else None


def adapter_problems(study: Study) -> Iterator[Problem]:
    """Find merges into an adapter whose models are not adapters of one checkpoint."""
    for name, checkpoint in study.checkpoints.items():
        if not isinstance(checkpoint, Merged) or checkpoint.merge.adapter is None:
            continue
        place = ("checkpoints", name, "merge", "adapter")
        found = {model: adapts(study, model) for model in checkpoint.merge.models}
        whole = [model for model, start in found.items() if start is None]
        base = checkpoint.merge.base
        starts = {*found.values()}
        if whole:
            yield (
                place,
                f"`{whole[0]}` is not trained with an `adapter`, so it cannot be merged into one.",
            )
        elif len(starts) > 1:
            shown = ", ".join(f"{model} of {start}" for model, start in found.items())
            yield place, f"adapters of different checkpoints cannot be merged into one: {shown}."
        elif base is not None and base not in starts:
            yield (
                place,
                f"these are adapters of `{starts.pop()}`; `base` must be that, or left out.",
            )
