"""A judge's own model: a local folder, or a name on the hub."""

from pathlib import Path

from mixmerge.hub import resolve

FOLDER = "folder"
"""Stands in an identity for a local folder, which counts by content."""


def local_folder(name: str) -> dict[str, Path]:
    """Return the folder that a model's name is, by its role; nothing for a name on the hub."""
    return {FOLDER: Path(name)} if Path(name).is_dir() else {}


def model_folder(name: str, folder: Path = Path()) -> Path:
    """Return the folder of a model, downloading it from the hub if there is no such folder here.

    Args:
        name: a folder, or a name on the hub with an optional ``@revision``.
        folder: what a relative path is relative to.

    Raises:
        ModelError: there is no such folder, and the hub does not give the model.
    """
    return resolve(name, pickled=True, relative_to=folder)
