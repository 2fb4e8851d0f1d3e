"""What the text of a model reference means: folders, hub names, and adapters on top of models.

- A **folder** is taken as it is; nothing that exists on this machine is looked up on a hub.
- ``org/name`` or ``org/name@revision`` is a model on a hub. Configuration, tokenizer and
  safetensors files are downloaded into the usual cache, never code.
- ``MODEL+ADAPTER`` is a model with a LoRA adapter; each part is a folder or a hub name.
- A lone adapter stands for itself on the model that its configuration names.
"""

import re
import reprlib
from pathlib import Path
from typing import Any, NamedTuple

from mixmerge.errors import ModelError, SpecError
from mixmerge.files import read_json
from mixmerge.merging.models.adapter import AdaptedCheckpoint
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.donor_files import OTHER_TOKENS
from mixmerge.merging.models.pickled import PickledCheckpoint, is_pickled

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(@[^@+\s]+)?", re.ASCII)
_LOCAL = ("/", "./", "../", "~")
"""How a path begins that cannot be meant as a hub name."""
_WANTED = ["*.json", "*.jinja", "*.safetensors", "*.txt", *OTHER_TOKENS]
_PICKLES = ["*.bin", "*.pt"]
_FOLDERS = ["[!a]*/*", "a[!d]*/*", "ad[!d]*/*"]
"""All but ``additional_chat_templates``, as nearly as such patterns can say it."""
_UNWANTED = [*_FOLDERS, "consolidated*", "optimizer*", "training_args*"]
"""Other formats, and the same weights once more under their original names."""
ADAPTER_CONFIG = "adapter_config.json"


class Reference(NamedTuple):
    """The two parts of a reference, each a folder or a hub name."""

    model: str
    adapter: str | None


def parse(text: str) -> Reference:
    """Split a reference at the ``+`` between model and adapter, where there is one.

    A folder whose own name has a ``+`` wins over the split.

    Raises:
        SpecError: the text has a ``+`` and can be read in no way, or in several.
    """
    if "+" not in text or _folder(text).exists():
        return Reference(text, None)
    places = [place for place, letter in enumerate(text) if letter == "+"]
    pairs = [(text[:place], text[place + 1 :]) for place in places]
    readable = [pair for pair in pairs if all(_may_exist(part) for part in pair)]
    if len(readable) != 1:
        found = "could be split at several" if readable else "is neither a folder nor"
        raise SpecError(
            f"model `{text}`: {found} `MODEL+ADAPTER`; "
            "each part must be an existing folder or a hub name (`org/name`)."
        )
    return Reference(*readable[0])


def _folder(text: str) -> Path:
    try:
        folder = Path(text).expanduser()
        known = folder.exists() or text.isprintable()
    except (OSError, RuntimeError) as error:  # too long for the disk, or of no known user
        raise ModelError(f"{reprlib.repr(text)}: no such folder ({error.args[-1]}).") from error
    if not known:
        raise ModelError(f"{reprlib.repr(text)}: no such folder.")
    return folder


def _may_exist(part: str) -> bool:
    return bool(part) and (_folder(part).is_dir() or is_hub_name(part))


def is_hub_name(text: str) -> bool:
    """Say whether a text that is no folder here can be the name of a model on a hub."""
    return not text.startswith(_LOCAL) and _HUB_NAME.fullmatch(text) is not None


def locate(text: str, *, allow_pickle: bool = False) -> Path:
    """Return the folder of a model or adapter, downloading it where it has only a hub name.

    Args:
        text: a folder, ``org/name`` or ``org/name@revision``.
        allow_pickle: whether pickled weights are downloaded where there are no others.

    Raises:
        ModelError: there is no such folder, and no such model on the hub or no way to reach it.
    """
    folder = _folder(text)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise ModelError(f"{text}: is a file; a model is a folder.")
    if not is_hub_name(text):
        raise ModelError(f"{text}: no such folder, and not a hub name (`org/name`).")
    folder = _download(text, _WANTED)
    if allow_pickle and not any(folder.glob("*.safetensors")):
        folder = _download(text, [*_WANTED, *_PICKLES])
    return folder


def _download(text: str, wanted: list[str]) -> Path:
    from huggingface_hub import snapshot_download

    repository, _, revision = text.partition("@")
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=wanted,
                ignore_patterns=_UNWANTED,
            )
        )
    except (OSError, ValueError) as error:  # what the hub's client raises: HTTP, offline, names
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"{text}: no such folder, and it could not be had from the hub "
            f"({type(error).__name__}: {reason}). Check the name; a private or gated model needs "
            "`hf auth login`; without network the model must be in the cache already."
        ) from error


def open_model(name: str, text: str, *, allow_pickle: bool = False) -> Checkpoint:
    """Open the model that a reference means; its headers are read and checked, no weight is.

    Args:
        name: what messages call the model.
        text: the reference.
        allow_pickle: whether ``.bin`` and ``.pt`` files may be read.

    Raises:
        SpecError: the reference cannot be understood.
        ModelError: a part cannot be found, is incomplete, or the adapter does not fit the model.
    """
    model, adapter = parse(text)
    folder = locate(model, allow_pickle=allow_pickle)
    if _is_adapter(folder):
        if adapter is not None:
            raise ModelError(f"{name}: {model} is an adapter itself; put a model before the `+`.")
        base = locate(_base_of(folder), allow_pickle=allow_pickle)
        return _adapted(name, base, folder, allow_pickle)
    if adapter is not None:
        return _adapted(name, folder, locate(adapter), allow_pickle)
    return _plain(name, folder, allow_pickle)


def _adapted(name: str, folder: Path, adapter: Path, allow_pickle: bool) -> Checkpoint:
    if not (adapter / ADAPTER_CONFIG).is_file():
        raise ModelError(f"{name}: {adapter} has no {ADAPTER_CONFIG}, so it is not an adapter.")
    if _is_adapter(folder):
        raise ModelError(f"{name}: {folder} is an adapter itself; merge it into its model first.")
    return AdaptedCheckpoint(_plain(name, folder, allow_pickle), adapter)


def _plain(name: str, folder: Path, allow_pickle: bool) -> Checkpoint:
    if is_pickled(folder):
        return PickledCheckpoint(name, folder, allowed=allow_pickle)
    return Checkpoint(name, folder)


def _is_adapter(folder: Path) -> bool:
    """Say whether a folder holds an adapter and no model of its own."""
    return (folder / ADAPTER_CONFIG).is_file() and not any(folder.glob("model*.safetensors"))


def _base_of(adapter: Path) -> str:
    config: Any = read_json(adapter / ADAPTER_CONFIG)
    base = config.get("base_model_name_or_path") if isinstance(config, dict) else None
    if not isinstance(base, str) or not base:
        raise ModelError(
            f"{adapter / ADAPTER_CONFIG}: names no `base_model_name_or_path`; "
            "write the reference as `MODEL+ADAPTER`."
        )
    revision = config.get("revision")
    known_revision = isinstance(revision, str) and "@" not in base and is_hub_name(base)
    return f"{base}@{revision}" if known_revision and not _folder(base).exists() else base
