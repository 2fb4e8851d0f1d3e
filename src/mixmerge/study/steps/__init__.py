"""The steps of a study, one file for each kind; to add a kind, write its file and name it here.

The graph::

    base, given, data, prompts → mix → train → kept → merge → select → generate → judge ⎫
             generate-data ⬏     answers ⇄ train                          harness → score ⎭
                                                                 → results, calibrate → report
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

from mixmerge.execution.step import Step
from mixmerge.execution.worker import Handler
from mixmerge.study.spec import Study
from mixmerge.study.steps.kind import StepKind

_FILES = (
    "given",
    "data",
    "prompts",
    "generate_data",
    "mix",
    "answers",
    "train",
    "kept",
    "merge",
    "generate",
    "judge",
    "harness",
    "score",
    "select",
    "results",
    "calibrate",
    "report",
)

KINDS: Mapping[str, StepKind[Any, Any]] = {
    kind.kind: kind for file in _FILES for kind in import_module(f"{__name__}.{file}").KINDS
}
"""Every kind of step by name, in the order of a study's plan."""

HANDLERS: Mapping[str, Handler] = {name: kind.handle for name, kind in KINDS.items()}

# Steps read local folders; no library may contact a hub unasked.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def steps(study: Study) -> list[Step]:
    """Return the steps of a study, kind by kind."""
    made = [step for kind in KINDS.values() for step in kind.plan(study)]
    # The report reads all others.
    made[-1] = replace(made[-1], inputs={step.id: step.id for step in made[:-1]})
    memory = {str(phase): gigabytes for phase, gigabytes in study.placement.memory_gb.items()}
    return [
        replace(
            step, needs=replace(step.needs, memory_gb=memory.get(step.kind, step.needs.memory_gb))
        )
        for step in made
    ]
