"""Models by name: a folder on this machine, or a repository on the Hugging Face hub.

A name is ``NAME`` or ``OWNER/NAME``, with an optional ``@REVISION``. An existing folder is never
looked up on the hub, and what looks like a path (``./x``, ``/x``, ``~/x``) is one.
"""

import re
import reprlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mixmerge import json_text
from mixmerge.errors import ModelError

MODEL_FILES = (
    *("*.json", "*.jinja", "*.safetensors", "*.txt"),
    *("*.model", "*.tiktoken", "LICENSE*"),
)
"""Configuration, tokenizer and weights in safetensors, never code."""
MODULES = "modules.json"
"""Where sentence-transformers lists a model's modules, each with the path of its folder."""
_PICKLED = ("*.bin", "*.pt")
_UNWANTED = (
    *("consolidated*", "optimizer*", "training_args*"),
    # All folders but `additional_chat_templates`, as far as glob patterns allow.
    *("[!a]*/*", "a[!d]*/*", "ad[!d]*/*"),
)
"""Other formats, and copies of the weights under their original names."""
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?(@[^@+\s]+)?", re.ASCII)
_PATH_STARTS = ("/", "./", "../", "~")


def is_hub_name(text: str, *, needs_owner: bool = False) -> bool:
    """Return whether a text has the form of a repository name.

    With ``needs_owner``, a ``NAME`` without ``OWNER/`` is not one.

    Example:
        >>> is_hub_name("CohereLabs/aya-23-8B@main"), is_hub_name("./model")
        (True, False)
    """
    matches = not text.startswith(_PATH_STARTS) and _NAME.fullmatch(text) is not None
    return matches and ("/" in text.partition("@")[0] or not needs_owner)


def local_folder(text: str, relative_to: Path = Path()) -> Path:
    """Return the path that a text names on this machine, whether or not it exists.

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
    """Return the folder of a model, downloading it into the usual cache if it is on the hub.

    A name on the hub is ``OWNER/NAME`` or, unless ``needs_owner``, ``NAME``, with an optional
    ``@REVISION``. Only ``files`` that match a pattern are downloaded, and ``pickled`` weights if
    there are no others. A relative path starts from ``relative_to``.

    Raises:
        ModelError: there is no such folder, and no such model on the hub, or it cannot be reached.
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
    try:
        modules = module_folders(folder)
    except ModelError:
        modules = []  # only a merge needs them, and it refuses the file
    for module in modules:
        _download(text, [f"{module}/{name}" for name in files], unwanted=())
        if not any((folder / module).glob("*.safetensors")):
            # Downloaded but not read: `allow_pickle` is checked when the model is opened.
            _download(text, [f"{module}/{name}" for name in _PICKLED], unwanted=())
    return folder


def module_folders(folder: Path) -> list[str]:
    """Return the subfolders in which a sentence-transformers model keeps its further modules.

    Raises:
        ModelError: ``modules.json`` is not JSON, or a module has no path below the folder.
    """
    file = folder / MODULES
    if not file.is_file():
        return []
    try:
        listed = json_text.parse(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{file}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise ModelError(f"{file}: not valid JSON: {error}.") from error
    entries = listed if isinstance(listed, list) else [{}]
    paths = [entry.get("path") for entry in entries if isinstance(entry, dict)]
    for path in paths:
        parts = PurePosixPath(path).parts if isinstance(path, str) else ("..",)
        if {"..", "/"} & {*parts} or not str(path).isprintable():
            raise ModelError(f"{file}: each module must have a `path` in the folder, not {path!r}.")
    return [path for path in paths if path]


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
