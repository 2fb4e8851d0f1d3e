"""The small files of a model folder: tokenizer, templates and settings, and code it refers to.

Models may be untrusted: files that could not be copied at the end of a merge are refused before it
starts, and so are links that lead out of the model's folder.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from mixmerge.errors import ModelError, SpecError
from mixmerge.files import read_json
from mixmerge.hub import MODULES, module_folders

_OBJECTS = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
"""JSON objects that are rewritten if the output has other tokens."""

TOKENS = "tokenizer.json"
OTHER_TOKENS = (
    *("tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model"),
    *("tekken.json", "*.tiktoken"),
)
"""Vocabularies in the formats of other libraries; a model may have several."""
TOKENS_BESIDE = ("added_tokens.json", "merges.txt")
TEMPLATES = ("chat_template.jinja", "chat_template.json", "additional_chat_templates/*.jinja")

DONATED = (
    *(*_OBJECTS, TOKENS, *OTHER_TOKENS, *TOKENS_BESIDE, *TEMPLATES),
    *("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"),
    *(MODULES, "config_sentence_transformers.json", "sentence_*_config.json"),
)
"""What is copied unchanged; the configuration is adapted to the weights."""

WEIGHTS = "model.safetensors"
"""The weights of a model, or of a sentence-transformers module."""
_NO_SMALL_FILE = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".h5", ".msgpack", ".py", ".pyc")

_LARGEST = 1 << 29
"""Bytes; ten times the largest tokenizers."""


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ModelError: the file is missing, or is not a JSON object.
    """
    content = _json(file)
    if not isinstance(content, dict):
        raise ModelError(f"{file}: must be a JSON object, not {json.dumps(content)[:40]}.")
    return content


def _json(file: Path) -> Any:
    try:
        return read_json(file)
    except SpecError as error:
        raise ModelError(str(error)) from error


def donated(folder: Path, names: Collection[str] = DONATED) -> dict[str, Path]:
    """Return the files that a merged model may copy, by their path relative to the folder."""
    found = [
        file
        for name in names
        for file in (sorted(folder.glob(name)) if "*" in name else [folder / name])
        if file.is_file()
    ]
    if MODULES in names:
        folders = (folder / module for module in module_folders(folder))
        below = (file for module in folders for file in sorted(module.rglob("*")))
        found += [file for file in below if file.is_file() and file.suffix not in _NO_SMALL_FILE]
    return {file.relative_to(folder).as_posix(): file for file in found}


def code_needed(folder: Path, config: Mapping[str, Any]) -> list[str]:
    """Return the code that a model's settings refer to: files, and hub names (``org/name``)."""
    settings = [config, *(_json(file) for file in sorted(folder.glob("*config.json")))]
    return list(
        dict.fromkeys(
            text.partition("--")[0] if "--" in text else text.rpartition(".")[0] + ".py"
            for content in settings
            for text in _references(content)
        )
    )


def _references(content: Any) -> Iterator[str]:
    """Yield all values of `auto_map` in an object, at any depth."""
    if isinstance(content, dict):
        for key, value in content.items():
            own = key == "auto_map" and isinstance(value, dict)
            yield from _texts(value.values()) if own else _references(value)
    elif isinstance(content, list):
        for item in content:
            yield from _references(item)


def _texts(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, str) and "." in value:
            yield value
        elif isinstance(value, list):
            yield from _texts(value)


def lacks_tokens(folder: Path) -> bool:
    """Whether a folder has tokenizer settings but no vocabulary file.

    Tokenizers of bytes or characters need none; others would be lost.
    """
    settings = (folder / "tokenizer_config.json").is_file()
    return settings and not donated(folder, (TOKENS, *OTHER_TOKENS))


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder has a tokenizer, or at least its settings."""
    return bool(donated(folder, (TOKENS, *OTHER_TOKENS, "tokenizer_config.json")))


def check_donor_files(folder: Path) -> None:
    """Check that the small files of a model folder can be read and have the right content.

    Raises:
        ModelError: a file cannot be read, is too large, is not the JSON object it should be, or is
            a link out of the folder.
    """
    _refuse_link(folder / MODULES, folder)  # it says which other files there are
    for file in donated(folder, (*DONATED, "config.json")).values():
        _refuse_link(file, folder)
        try:
            with file.open("rb") as stream:
                stream.read(1)
        except OSError as error:
            raise ModelError(f"{file}: cannot be read ({error.strerror}).") from error
        if file.stat().st_size > _LARGEST:
            raise ModelError(f"{file}: has {file.stat().st_size:,} bytes; at most {_LARGEST:,}.")
        if file.name in _OBJECTS:
            _check_finite(file, read_object(file))


def _check_finite(file: Path, settings: dict[str, Any]) -> None:
    try:
        json.dumps(settings, allow_nan=False)
    except ValueError as error:
        raise ModelError(f"{file}: contains NaN or infinity, which JSON does not allow.") from error


def _refuse_link(file: Path, folder: Path) -> None:
    """Refuse a link out of the model's folder, unless it is the hub cache's own."""
    target, home = file.resolve(), folder.resolve()
    if target.is_relative_to(home):
        return
    from huggingface_hub.constants import HF_HUB_CACHE

    caches = [Path(HF_HUB_CACHE).resolve()]
    if home.parent.name == "snapshots":  # of a cache elsewhere
        caches.append(home.parent.parent / "blobs")
    if not any(target.is_relative_to(cache) for cache in caches):
        raise ModelError(
            f"{file}: is a link to {target}, outside the model's folder; copy that file into "
            "the folder if it belongs to the model."
        )
