"""A judge's own model: a local folder, or a name on the hub."""

from pathlib import Path

from mixmerge.errors import ModelError

FOLDER = "folder"
"""Stands in an identity for a local folder, which counts by content."""


def local_folder(name: str) -> dict[str, Path]:
    """Return the folder that a model's name is, by its role; nothing for a name on the hub."""
    return {FOLDER: Path(name)} if Path(name).is_dir() else {}


def model_folder(name: str, folder: Path = Path()) -> Path:
    """Return the folder of a model, fetching it from the hub if there is no such folder here.

    Args:
        name: a folder, or a name on the hub with an optional ``@revision``.
        folder: what a relative path is relative to.

    Raises:
        ModelError: there is no such folder, and the hub does not give the model.
    """
    local = (folder / name).expanduser()
    if local.is_dir():
        return local
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    hub_name, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(hub_name, revision=revision or None))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelError(
            f"judge: `{name}` is no folder here and could not be fetched from the hub: {error}. "
            "Check the name, the network and your access token, or give a folder."
        ) from error
