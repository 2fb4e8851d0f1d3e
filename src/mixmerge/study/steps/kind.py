"""The interface of a kind of step: its settings, and how it is planned, run and priced.

A kind is one file with one class, and one line in `mixmerge.study.steps`::

    class Merge(StepKind[MergeSettings, NoFacts], kind="merge"):

The settings hold everything that changes a step's outcome, and nothing else. The facts are what its
record keeps. ``step.json`` and ``record.json`` are read back by these classes.

Settings refer to files outside the run by role, with order, language and file type: a step's digest
covers their content and not their paths.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, get_args

from mixmerge.execution.environment import CORES
from mixmerge.execution.step import Step, Task
from mixmerge.files import read_json
from mixmerge.hub import local_folder
from mixmerge.progress import Progress
from mixmerge.records import ModelFolder, RowModel
from mixmerge.spec_model import SpecModel
from mixmerge.study.spec import Study
from mixmerge.tables import DataSpec

MODEL = "model"
"""Name of the folder of a model that a step made."""
POINTER = "model.json"
"""Name of the file in which a step points to a model outside its folder."""
ROWS = "rows.jsonl"

FOLDER = "folder"
"""Placeholder in settings for the path of a local data set folder."""

Folders = Mapping[str, Path]
"""Trained rows, by step or by model."""

Settings = TypeVar("Settings", bound=SpecModel)
Facts = TypeVar("Facts", bound=RowModel)


class NoFacts(RowModel):
    """The facts of a step that records nothing."""


class StepKind(Generic[Settings, Facts]):
    """One kind of step."""

    kind: ClassVar[str]
    settings: type[Settings]
    facts: type[Facts]

    def __init_subclass__(cls, *, kind: str) -> None:
        cls.kind = kind
        for base in vars(cls).get("__orig_bases__", ()):
            cls.settings, cls.facts = get_args(base)

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield the steps of this kind that a study needs."""
        raise NotImplementedError

    def run(self, task: Task, settings: Settings, progress: Progress) -> Facts:
        """Run one step and return its facts.

        Raises:
            UserError: the step failed for a reason that the user can fix.
        """
        raise NotImplementedError

    def cost(self, settings: Settings, rows: int) -> str:
        """Describe in a few words what a step would do; ``rows`` are those of a training.

        Empty where its name says it.
        """
        del settings, rows
        return ""

    def adopted(self, settings: Settings, model: ModelFolder, inputs: Mapping[str, Path]) -> Facts:
        """Return the facts of a step whose model was adopted; the inputs are by role."""
        del settings, model, inputs
        return self.facts()

    def handle(self, task: Task, progress: Progress) -> Mapping[str, Any]:
        """Run a step for the execution layer."""
        return self.run(task, self.read_settings(task), progress).model_dump(mode="json")

    def read_settings(self, step: Step | Task) -> Settings:
        """Return a step's settings."""
        return self.settings.model_validate(step.settings)

    def read_facts(self, record: Mapping[str, Any]) -> Facts:
        """Return the facts in a finished step's record."""
        return self.facts.model_validate(record["facts"])


def model_path(folder: Path) -> Path:
    """Return the model of a step's folder: its own, or the one that it points to."""
    pointer = folder / POINTER
    return folder / read_json(pointer)["path"] if pointer.is_file() else folder / MODEL


def inputs_of(task: Task, group: str) -> dict[str, Path]:
    """Return the folders of the inputs whose role is ``group:name``, by name."""
    start = f"{group}:"
    return {
        role.removeprefix(start): folder
        for role, folder in task.inputs.items()
        if role.startswith(start)
    }


def within_cores(placement: Mapping[str, Any]) -> dict[str, Any]:
    """Limit the threads of a placement to the cores that the engine gives the step."""
    asked = dict(placement)
    cores = os.environ.get(CORES)
    if cores and asked.get("threads"):
        share = max(1, int(cores) // asked.get("devices", 1))
        asked["threads"] = min(asked["threads"], share)
    return asked


def described(name: str, spec: DataSpec) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a source's settings with roles in place of paths, and the paths by role."""
    settings = spec.model_dump(mode="json", exclude={"files"}, exclude_defaults=True)
    files: dict[str, str] = {}
    if isinstance(spec.files, dict):
        roles = {lang: f"{name}:{lang}{path.suffix}" for lang, path in spec.files.items()}
        settings["files"] = roles
        files = {roles[lang]: str(path) for lang, path in spec.files.items()}
    elif spec.files is not None:
        paths = spec.files if isinstance(spec.files, list) else [spec.files]
        named = [f"{name}:{index}{path.suffix}" for index, path in enumerate(paths)]
        settings["files"] = named
        files = dict(zip(named, map(str, paths), strict=True))
    if spec.hub and local_folder(spec.hub).is_dir():
        settings["hub"], files[f"{name}:hub"] = FOLDER, spec.hub
    return settings, files


def with_paths(name: str, settings: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
    """Put paths back in place of roles; undoes `described`."""
    filled = dict(settings)
    asked = filled.get("files")
    if isinstance(asked, dict):
        filled["files"] = {language: files[role] for language, role in asked.items()}
    elif asked is not None:
        filled["files"] = [files[role] for role in asked]
    if filled.get("hub") == FOLDER:
        filled["hub"] = str(files[f"{name}:hub"])
    return filled
