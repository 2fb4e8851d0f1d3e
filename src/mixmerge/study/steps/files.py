"""Files outside the run: settings name roles, which keep order, language and file type.

A step's identity counts files by content; where they lie is no part of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mixmerge.evaluation.prompt_spec import PromptSetSpec
from mixmerge.hub import local_folder
from mixmerge.mixing.spec import SourceSpec

Rows = SourceSpec | PromptSetSpec

FOLDER = "folder"
"""Stands in settings for a local data set folder, whose content counts."""


def described(name: str, spec: Rows) -> tuple[dict[str, Any], dict[str, str]]:
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
