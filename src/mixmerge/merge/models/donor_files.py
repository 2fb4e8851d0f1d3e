"""The small files of a model folder that a merged model takes over, checked before they are needed.

They come from strangers, as weights do: what cannot be copied at the end of a merge is refused
before it begins.
"""

import json
from pathlib import Path
from typing import Any

from mixmerge.errors import ModelError, SpecError
from mixmerge.files import read_json

_SETTINGS = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
"""Small JSON objects, which are corrected where the output has other tokens."""

DONATED = (
    *_SETTINGS,
    "tokenizer.json",
    "tokenizer.model",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
)
"""What is copied as it is, besides the configuration, which is made true to the weights."""

_LARGEST = 1 << 29
"""Bytes of such a file; tokenizers, the largest, have a tenth of it."""


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON object of a model folder.

    Raises:
        ModelError: there is no such file, or it is something else.
    """
    try:
        content = read_json(file)
    except SpecError as error:
        raise ModelError(str(error)) from error
    if not isinstance(content, dict):
        raise ModelError(f"{file}: must be a JSON object, not {json.dumps(content)[:40]}.")
    return content


def donated(folder: Path) -> dict[str, Path]:
    """Return the files of a model folder that a merged model may take over, by name."""
    return {name: folder / name for name in DONATED if (folder / name).is_file()}


def check_donor_files(folder: Path) -> None:
    """Check that the small files of a model folder can be read and are what they are called.

    Raises:
        ModelError: a file cannot be read, is too large, or is no JSON object where it must be.
    """
    for file in donated(folder).values():
        try:
            with file.open("rb") as stream:
                stream.read(1)
        except OSError as error:
            raise ModelError(f"{file}: cannot be read ({error.strerror}).") from error
        if file.stat().st_size > _LARGEST:
            raise ModelError(f"{file}: has {file.stat().st_size:,} bytes; at most {_LARGEST:,}.")
        if file.name in _SETTINGS:
            _check_finite(file, read_object(file))


def _check_finite(file: Path, settings: dict[str, Any]) -> None:
    try:
        json.dumps(settings, allow_nan=False)
    except ValueError as error:
        raise ModelError(f"{file}: holds NaN or infinity, which JSON does not have.") from error
