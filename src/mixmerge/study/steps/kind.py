"""What every kind of step says of itself: what it is asked, how it is planned, run and priced.

A kind is one file with one class, and one line in `mixmerge.study.steps`::

    class Merge(StepKind[MergeSettings, NoFacts], kind="merge"):

The settings say what a step is asked: everything that changes its outcome, and nothing else. The
facts are what its record tells. What is written into ``step.json`` and ``record.json`` is read back
by these classes.

Of files outside the run, settings name roles, which keep order, language and file type: a step's
identity counts their content; where they lie is no part of it.
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
"""The folder of a model that a step has made."""
POINTER = "model.json"
"""Where a step says which model outside of its folder it stands for."""
ROWS = "rows.jsonl"

FOLDER = "folder"
"""Stands in settings for a local data set folder, whose content counts."""

Folders = Mapping[str, Path]
"""By step, or by model."""

Settings = TypeVar("Settings", bound=SpecModel)
Facts = TypeVar("Facts", bound=RowModel)


class NoFacts(RowModel):
    """A step whose record tells nothing but that it was done."""


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
        """Do the work of one step and return its facts.

        Raises:
            UserError: something that the user can fix stands in the way.
        """
        raise NotImplementedError

    def cost(self, settings: Settings, rows: int) -> str:
        """Say in a few words what a step would do, a training with this many rows.

        Nothing where its name says it.
        """
        del settings, rows
        return ""

    def adopted(self, settings: Settings, model: ModelFolder, inputs: Mapping[str, Path]) -> Facts:
        """Return the facts of a step whose model was made elsewhere; the inputs are by role."""
        del settings, model, inputs
        return self.facts()

    def handle(self, task: Task, progress: Progress) -> Mapping[str, Any]:
        """Run a step as the execution layer asks for it."""
        return self.run(task, self.read_settings(task), progress).model_dump(mode="json")

    def read_settings(self, step: Step | Task) -> Settings:
        """Return what a step is asked."""
        return self.settings.model_validate(step.settings)

    def read_facts(self, record: Mapping[str, Any]) -> Facts:
        """Return what the record of a finished step tells."""
        return self.facts.model_validate(record["facts"])


def model_path(folder: Path) -> Path:
    """Return the model of a step's folder: its own, or the one it points to outside the run."""
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
    """Lower the threads that a placement asks for to the cores that the engine has for the step."""
    asked = dict(placement)
    cores = os.environ.get(CORES)
    if cores and asked.get("threads"):
        share = max(1, int(cores) // asked.get("devices", 1))
        asked["threads"] = min(asked["threads"], share)
    return asked


def described(name: str, spec: DataSpec) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the settings of a source with roles, which begin with ``name``, and their paths."""
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
    """Put paths back where settings name roles; see `described`."""
    filled = dict(settings)
    asked = filled.get("files")
    if isinstance(asked, dict):
        filled["files"] = {language: files[role] for language, role in asked.items()}
    elif asked is not None:
        filled["files"] = [files[role] for role in asked]
    if filled.get("hub") == FOLDER:
        filled["hub"] = str(files[f"{name}:hub"])
    return filled
