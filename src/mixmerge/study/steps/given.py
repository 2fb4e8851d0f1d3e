"""``base/base`` and ``given/NAME``: provide models that exist before the study."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from mixmerge.errors import ModelError
from mixmerge.execution.step import Step, Task
from mixmerge.files import write_json
from mixmerge.fingerprint import fingerprint, folder_fingerprint
from mixmerge.hub import resolve
from mixmerge.progress import Progress
from mixmerge.records import ModelFolder, RowModel
from mixmerge.spec_model import SpecModel
from mixmerge.study.spec import BASE, Study, folder_of
from mixmerge.study.steps.kind import MODEL, POINTER, StepKind, model_path
from mixmerge.testbed.model import BASES, weights_folder, write_model

_COMMIT = re.compile("[0-9a-f]{40}")


class GivenSettings(SpecModel):
    """Where a model comes from."""

    origin: Literal["testbed", "folder", "hub"] = Field(alias="from")
    """A folder is identified by its content, so settings have no path."""
    name: str | None = None
    """The name on the hub or in the testbed."""
    revision: str | None = None
    """The revision on the hub."""


class GivenFacts(RowModel):
    """What is known of a model without loading it."""

    architecture: list[str] | None
    outside: list[str]
    """The model's folder outside the run, if any; without it, the step must run again."""
    content: str | None = None
    """Identifies the content of a hub model; None for any other."""


class GivenModel(StepKind[GivenSettings, GivenFacts], kind="given"):
    """Makes a given model available: written from the package, checked, or fetched from the hub."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield a step for each given checkpoint that has weights."""
        for name, given in study.given().items():
            if given.model is not None and name != BASE:
                yield self._step(name, given.model)

    def _step(self, name: str, model: str) -> Step:
        settings: dict[str, Any]
        files: dict[str, str] = {}
        by_output = False
        if model in BASES:
            settings = {"from": "testbed", "name": BASES[model]}
            files = {"weights": str(weights_folder(BASES[model]))}
        elif folder := folder_of(model):
            settings, files = {"from": "folder"}, {"model": str(folder)}
        else:
            hub_name, _, revision = model.partition("@")
            settings = {"from": "hub", "name": hub_name, "revision": revision or None}
            # A branch moves, so the commit is known only after the download.
            by_output = not _COMMIT.fullmatch(revision)
        return Step(self.kind, name, settings, files=files, by_output=by_output)

    def run(self, task: Task, settings: GivenSettings, progress: Progress) -> GivenFacts:
        """Write the model, or a pointer to it."""
        progress(0, 1, settings.name or settings.origin)
        if settings.origin == "testbed":
            assert settings.name is not None
            write_model(task.folder / MODEL, settings.name)
        elif settings.origin == "folder":
            write_json(task.folder / POINTER, {"path": str(task.files["model"])})
        else:
            assert settings.name is not None
            revision = f"@{settings.revision}" if settings.revision else ""
            path = resolve(settings.name + revision)
            write_json(task.folder / POINTER, {"path": str(path)})
        path = model_path(task.folder)
        return GivenFacts(
            architecture=whole_model(path).config.get("architectures"),
            outside=[str(path)] if path.parent != task.folder else [],
            content=_content(settings.name, path) if settings.origin == "hub" else None,
        )


def whole_model(path: Path) -> ModelFolder:
    """Return a folder that holds a complete model.

    Raises:
        ModelError: the model is incomplete; the message names what is missing.
    """
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        raise ModelError(
            f"{path} is a LoRA adapter and no whole model. Merge it into its base model first: a "
            "recipe for `mixmerge merge` with `merge_method: passthrough` and "
            f"`models: [{{model: BASE+{path}}}]`."
        )
    return ModelFolder(path)


def _content(name: str | None, path: Path) -> str:
    """Return an identifier of a hub model's content that does not depend on the cache's path."""
    if _COMMIT.fullmatch(path.name):
        return fingerprint([name, path.name])
    return folder_fingerprint(path)


class BaseModel(GivenModel, kind="base"):
    """The base model of the study."""

    def plan(self, study: Study) -> Iterable[Step]:
        """Yield the base model's step, if the base has weights."""
        if study.base.model is not None:
            yield self._step(BASE, study.base.model)


KINDS = (BaseModel(), GivenModel())
