"""The small files of a model folder that a merged model takes over, checked before they are needed.

They come from strangers, as weights do: what cannot be copied at the end of a merge is refused
before it begins.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mixmerge.errors import ModelError, SpecError
from mixmerge.files import read_json

_SETTINGS = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
"""Small JSON objects, which are corrected where the output has other tokens."""

TOKENS = "tokenizer.json"
OTHER_TOKENS = (
    *("tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model"),
    *("tekken.json", "*.tiktoken"),
)
"""The same in the forms of other libraries; a model may have several, or one of these alone."""
TOKENS_BESIDE = ("added_tokens.json", "merges.txt")
TEMPLATES = ("chat_template.jinja", "chat_template.json", "additional_chat_templates/*.jinja")

DONATED = (
    *(*_SETTINGS, TOKENS, *OTHER_TOKENS, *TOKENS_BESIDE, *TEMPLATES),
    *("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"),
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


def donated(folder: Path, names: Iterable[str] = DONATED) -> dict[str, Path]:
    """Return the files of a model folder that a merged model may take over.

    Args:
        folder: the model's.
        names: which of them.

    Returns:
        Paths by name, below the folder.
    """
    found = (
        file
        for name in names
        for file in (sorted(folder.glob(name)) if "*" in name else [folder / name])
        if file.is_file()
    )
    return {file.relative_to(folder).as_posix(): file for file in found}


def lacks_tokens(folder: Path) -> bool:
    """Say whether a folder has a tokenizer's settings and no file with its tokens.

    Tokenizers of bytes or characters need none; others would be lost.
    """
    settings = (folder / "tokenizer_config.json").is_file()
    return settings and not donated(folder, (TOKENS, *OTHER_TOKENS))


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
