"""Choosing among checkpoints on items of their own: the steps that do it, and what they do.

Each candidate answers the items of ``selection`` and is judged on them, in steps of its own named
``CANDIDATE@selection``. The step ``select/NAME`` compares the scores and points to the winner,
which from there on is the checkpoint NAME.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mixmerge.errors import SampleError
from mixmerge.execution.step import Step, Task
from mixmerge.files import write_json
from mixmerge.merging.spec import MergeSpec
from mixmerge.progress import Progress
from mixmerge.records import Axis
from mixmerge.study.selection_spec import WeightsSpec
from mixmerge.study.spec import Merged, Selected, Study

SELECTION = "selection.json"

_APART = ("prompts", "generate", "judge")
"""Kinds of steps that selection has of its own; all others are shared with the study."""


def swept(study: Study) -> dict[str, dict[str, MergeSpec]]:
    """Return the merges that each sweep tries, by checkpoint and candidate."""
    return {
        name: checkpoint.sweep.merges(name, checkpoint.merge)
        for name, checkpoint in study.checkpoints.items()
        if isinstance(checkpoint, Merged) and checkpoint.sweep is not None
    }


def choices(study: Study) -> dict[str, list[str]]:
    """Return the candidates of every checkpoint that is chosen, by its name."""
    tried = swept(study)
    return {
        name: checkpoint.select if isinstance(checkpoint, Selected) else [*tried[name]]
        for name, checkpoint in study.checkpoints.items()
        if is_chosen(study, name)
    }


def is_chosen(study: Study, name: str) -> bool:
    """Say whether a name is that of a checkpoint that is chosen among others."""
    checkpoint = study.checkpoints.get(name)
    swept = isinstance(checkpoint, Merged) and checkpoint.sweep is not None
    return swept or isinstance(checkpoint, Selected)


def on_selection_items(study: Study) -> Study:
    """Return the study with the items of ``selection`` in place of those it reports on."""
    if study.selection is None:
        return study
    return study.model_copy(update={"evaluate": study.selection.evaluation(study.evaluate)})


def apart(judged: Sequence[Step]) -> list[Step]:
    """Rename the steps that ask and judge candidates, so that they stand beside the study's own."""

    def renamed(step_id: str) -> str:
        return f"{step_id}@selection" if step_id.partition("/")[0] in _APART else step_id

    return [
        replace(
            step,
            name=f"{step.name}@selection",
            inputs={role: renamed(source) for role, source in step.inputs.items()},
        )
        for step in judged
    ]


def select_step(study: Study, name: str, models: Mapping[str, str]) -> Step:
    """Return the step that chooses one checkpoint.

    Args:
        study: it has ``selection``.
        name: of the checkpoint.
        models: the step that makes each candidate, in the order of the study file.
    """
    assert study.selection is not None
    inputs = {f"model:{candidate}": step for candidate, step in models.items()}
    inputs |= {f"verdicts:{candidate}": f"judge/{candidate}@selection" for candidate in models}
    settings = {"candidates": [*models], "weights": study.selection.weights.model_dump()}
    return Step("select", name, settings, inputs)


def select(task: Task, progress: Progress) -> dict[str, Any]:
    """Compare the candidates and point to the best; of equals, to the first.

    Writes ``selection.json`` with the rates and the score of every candidate, and the pointer
    ``model.json``, relative, so that a moved run keeps its choice.

    Raises:
        SampleError: the judge gave no verdict at all on a candidate, so it cannot be compared.
    """
    from mixmerge.study.kinds import POINTER, model_path

    candidates: list[str] = task.settings["candidates"]
    progress(0, 1, "scores")
    weights = WeightsSpec(**task.settings["weights"])
    rates = {name: _rates(name, task.inputs[f"verdicts:{name}"]) for name in candidates}
    scores = {name: weights.score(rates[name]) for name in candidates}
    winner = max(candidates, key=scores.__getitem__)
    found = {
        "winner": winner,
        "weights": weights.model_dump(),
        "candidates": {name: {**rates[name], "score": scores[name]} for name in candidates},
    }
    write_json(task.folder / SELECTION, found)
    model = model_path(task.inputs[f"model:{winner}"])
    write_json(task.folder / POINTER, {"path": os.path.relpath(model, task.folder)})
    return {"winner": winner}


def _rates(name: str, folder: Path) -> dict[Axis, float]:
    import numpy as np

    from mixmerge.evaluation.scores import score_table
    from mixmerge.study.collect import read_verdicts

    rates: dict[Axis, float] = {}
    for axis, verdicts in read_verdicts(folder).items():
        scores = score_table(axis, {"model": verdicts}).scores["model"]
        if np.isnan(scores).all():
            raise SampleError(
                f"{name}: none of {len(scores)} prompts has a verdict on `{axis}`, so it cannot be "
                f"compared with other candidates. Look at {folder / f'{axis}.jsonl'} for what the "
                "judge replied."
            )
        rates[axis] = float(np.nanmean(scores))
    return rates
