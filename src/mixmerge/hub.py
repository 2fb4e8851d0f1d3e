"""Models by name: a folder on this machine, or a repository on the Hugging Face hub.

A name is ``NAME`` or ``OWNER/NAME``, with an optional ``@REVISION``. What exists here as a folder
is never looked up on the hub, and what is written like a path (``./x``, ``/x``, ``~/x``) is one.
"""

import json
import re
import reprlib
from collections.abc import Sequence
from pathlib import Path

from mixmerge.errors import ModelError

MODEL_FILES = (
    *("*.json", "*.jinja", "*.safetensors", "*.txt"),
    *("*.model", "*.tiktoken", "LICENSE*"),
)
"""Configuration, tokenizer and weights in safetensors, never code."""
_PICKLED = ("*.bin", "*.pt")
_UNWANTED = (
    *("consolidated*", "optimizer*", "training_args*"),
    # All folders but `additional_chat_templates`, as nearly as such patterns can say it.
    *("[!a]*/*", "a[!d]*/*", "ad[!d]*/*"),
)
"""Other formats, and the same weights once more under their original names."""
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(@[^@+\s]+)?", re.ASCII)
_PATH_STARTS = ("/", "./", "../", "~")


def is_hub_name(text: str, *, needs_owner: bool = False) -> bool:
    """Return whether a text can be the name of a repository, looking at its form alone.

    Where it ``needs_owner``, a ``NAME`` without ``OWNER/`` is none.

    Example:
        >>> is_hub_name("CohereLabs/aya-23-8B@main"), is_hub_name("./model")
        (True, False)
    """
    matches = not text.startswith(_PATH_STARTS) and _NAME.fullmatch(text) is not None
    return matches and ("/" in text.partition("@")[0] or not needs_owner)


def local_folder(text: str, relative_to: Path = Path()) -> Path:
    """Return the path that a text would have on this machine, whether or not it exists.

    Raises:
        ModelError: no file system could have such a path.
    """
    try:
        folder = relative_to / Path(text).expanduser()
        possible = folder.exists() or text.isprintable()
    except (OSError, RuntimeError) as error:  # too long for the disk, or of no known user
        raise ModelError(f"{reprlib.repr(text)}: no such folder ({error.args[-1]}).") from error
    if not possible:
        raise ModelError(f"{reprlib.repr(text)}: no such folder.")
    return folder


def resolve(
    text: str,
    *,
    files: Sequence[str] = MODEL_FILES,
    pickled: bool = False,
    needs_owner: bool = False,
    relative_to: Path = Path(),
) -> Path:
    """Return the folder of a model, downloading it into the usual cache where it is on the hub.

    A name on the hub is ``OWNER/NAME`` or, unless it ``needs_owner``, ``NAME``, with an optional
    ``@REVISION``. Files are downloaded by their patterns, and ``pickled`` weights where there are
    no others. A relative path starts from ``relative_to``.

    Raises:
        ModelError: there is no such folder, and no such model on the hub or no way to reach it.
    """
    folder = local_folder(text, relative_to)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise ModelError(f"{text}: is a file; a model is a folder.")
    if not is_hub_name(text, needs_owner=needs_owner):
        raise ModelError(f"{text}: no such folder, and not a hub name (`org/name`).")
    folder = _download(text, files)
    if pickled and not any(folder.glob("*.safetensors")):
        folder = _download(text, [*files, *_PICKLED])
    for module in _modules(folder):
        _download(text, [f"{module}/{name}" for name in files], unwanted=())
        if not any((folder / module).glob("*.safetensors")):
            # Whether they may be read is asked later; weights must not be missing in silence.
            _download(text, [f"{module}/{name}" for name in _PICKLED], unwanted=())
    return folder


def _modules(folder: Path) -> list[str]:
    """Return the folders of a sentence-transformers model's modules, which lie beside the model."""
    try:
        listed = json.loads((folder / "modules.json").read_bytes())
        paths = [entry["path"] for entry in listed]
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return []  # there is none; one that is wrong is refused where the model is opened
    return [path for path in paths if isinstance(path, str) and path]


def _download(text: str, files: Sequence[str], unwanted: Sequence[str] = _UNWANTED) -> Path:
    from huggingface_hub import snapshot_download

    repository, _, revision = text.partition("@")
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=[*files],
                ignore_patterns=[*unwanted],
            )
        )
    except (OSError, ValueError) as error:  # what the hub's client raises: HTTP, offline, names
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ModelError(
            f"{text}: no such folder, and it could not be downloaded from the hub "
            f"({type(error).__name__}: {reason}). Check the name; a private or gated model needs "
            "`hf auth login`; without a network the model must be in the cache already."
        ) from error
