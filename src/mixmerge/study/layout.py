"""How the steps of a study hang together: what makes a model, and who is asked what."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mixmerge.evaluation.spec import EvaluateSpec
from mixmerge.records import Axis
from mixmerge.study.spec import BASE, Given, Study, Trained

SELECTION = "@selection"
"""Ends the names of steps that ask and judge candidates on the items of selection."""


@dataclass(frozen=True)
class Round:
    """Models that answer the same prompts and are judged alike."""

    evaluate: EvaluateSpec
    models: list[str]
    """The base model first."""
    suffix: str = ""
    """Ends the names of its steps."""
    weights: Mapping[Axis, float] = field(default_factory=dict)
    """How much each axis counts for a choice; empty where nothing is chosen."""


def rounds(study: Study) -> list[Round]:
    """Return the study's own round and, where checkpoints are chosen, that of their candidates."""
    own = Round(study.evaluate, [BASE, *study.checkpoints])
    candidates = list(dict.fromkeys(name for names in study.chosen().values() for name in names))
    if not candidates or study.selection is None:
        return [own]
    asked = study.selection.evaluation(study.evaluate)
    weights = {axis: study.selection.weight(axis, study.evaluate) for axis in asked.axes}
    return [own, Round(asked, [BASE, *candidates], SELECTION, weights)]


def model_step(study: Study, name: str) -> str:
    """Return the id of the step that makes a model: the base, a checkpoint or a sweep's merge."""
    checkpoint = study.checkpoints.get(name)
    if name == BASE:
        kind = "base"
    elif study.candidates(name):
        kind = "select"
    elif isinstance(checkpoint, Given):
        kind = "given"
    else:
        kind = "train" if isinstance(checkpoint, Trained) else "merge"
    return f"{kind}/{name}"


def has_weights(study: Study, name: str) -> bool:
    """Say whether a model is there as a folder, and not only behind an endpoint."""
    given = study.given().get(name)
    return given is None or given.model is not None
