"""The steps of a study, one file for each kind; to add a kind, write its file and name it here.

The graph::

    base, given, data, prompts → mix → train → merge → select → generate → judge → results → report
                                                                                 calibrate ↗
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mixmerge.execution.step import Step
from mixmerge.execution.worker import Handler
from mixmerge.study.spec import Study
from mixmerge.study.steps.calibrate import Calibrate
from mixmerge.study.steps.data import TestbedData
from mixmerge.study.steps.generate import Generate
from mixmerge.study.steps.given import BaseModel, GivenModel
from mixmerge.study.steps.judge import Judging
from mixmerge.study.steps.kind import StepKind
from mixmerge.study.steps.merge import Merge
from mixmerge.study.steps.mix import Mix
from mixmerge.study.steps.prompts import Prompts
from mixmerge.study.steps.report import Report
from mixmerge.study.steps.results import StudyResults
from mixmerge.study.steps.select import Select
from mixmerge.study.steps.train import Train

KINDS: Mapping[str, StepKind[Any, Any]] = {
    kind.kind: kind
    for kind in (
        BaseModel(),
        GivenModel(),
        TestbedData(),
        Prompts(),
        Mix(),
        Train(),
        Merge(),
        Generate(),
        Judging(),
        Select(),
        StudyResults(),
        Calibrate(),
        Report(),
    )
}
"""Every kind of step by name, in the order in which studies are laid out."""

HANDLERS: Mapping[str, Handler] = {name: kind.handle for name, kind in KINDS.items()}

# Steps read local folders; nothing here may ask a hub behind the user's back.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def steps(study: Study) -> list[Step]:
    """Return the steps of a study, kind by kind."""
    made = [step for kind in KINDS.values() for step in kind.plan(study)]
    # The report reads all others.
    made[-1] = replace(made[-1], inputs={step.id: step.id for step in made[:-1]})
    memory = {str(phase): gigabytes for phase, gigabytes in study.placement.memory_gb.items()}
    return [
        replace(step, needs=replace(step.needs, memory_gb=memory.get(step.kind, 0.0)))
        for step in made
    ]
