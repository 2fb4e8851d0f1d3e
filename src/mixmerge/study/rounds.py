"""The rounds of evaluation: the study's own, and that of candidates on other prompts."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mixmerge.evaluation.spec import EvaluateSpec
from mixmerge.records import Axis
from mixmerge.study.spec import BASE, Study

SELECTION = "@selection"
"""Suffix of the steps that evaluate candidates on the prompts of `selection`."""


@dataclass(frozen=True)
class Round:
    """Models that answer the same prompts and are judged alike."""

    evaluate: EvaluateSpec
    models: list[str]
    """The base model first."""
    suffix: str = ""
    """Suffix of the names of its steps."""
    weights: Mapping[Axis, float] = field(default_factory=dict)
    """How much each axis counts for a choice; empty where nothing is chosen."""
    limits: Mapping[Axis, float] = field(default_factory=dict)
    """The worst acceptable value of an axis for a choice."""


def rounds(study: Study) -> list[Round]:
    """Return the study's own round and, if checkpoints are chosen, that of their candidates."""
    own = Round(study.evaluate, [BASE, *study.checkpoints, *study.measured_merges()])
    candidates = list(dict.fromkeys(name for names in study.chosen().values() for name in names))
    if not candidates or study.selection is None:
        return [own]
    asked = study.selection.evaluation(study.evaluate)
    weights = {axis: study.selection.weight(axis, study.evaluate) for axis in asked.axes}
    limits = study.selection.limits
    return [own, Round(asked, [BASE, *candidates], SELECTION, weights, limits)]
