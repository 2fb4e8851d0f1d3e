"""The small files of a model folder: what a merged model takes over, and what its code would be.

All of it comes from strangers: a file that could not be copied at the end of a merge is refused
before it begins, and so is a link to a file that is none of the model's.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mixmerge.errors import ModelError, SpecError
from mixmerge.files import read_json

_OBJECTS = ("generation_config.json", "tokenizer_config.json", "special_tokens_map.json")
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
    *(*_OBJECTS, TOKENS, *OTHER_TOKENS, *TOKENS_BESIDE, *TEMPLATES),
    *("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"),
    *("modules.json", "config_sentence_transformers.json", "sentence_*_config.json"),
)
"""What is copied as it is, besides the configuration, which is made true to the weights."""

_MODULES = "modules.json"
WEIGHTS = "model.safetensors"
"""The weights of a module beside the model, as sentence-transformers call them."""
_NO_SMALL_FILE = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".h5", ".msgpack", ".py", ".pyc")

_LARGEST = 1 << 29
"""Bytes of such a file; tokenizers, the largest, have a tenth of it."""


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON object of a model folder.

    Raises:
        ModelError: there is no such file, or it is something else.
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
    """Return the files of a model folder that a merged model may take over, by name below it."""
    found = [
        file
        for name in names
        for file in (sorted(folder.glob(name)) if "*" in name else [folder / name])
        if file.is_file()
    ]
    if _MODULES in names:
        below = (file for module in modules(folder) for file in sorted(module.rglob("*")))
        found += [file for file in below if file.is_file() and file.suffix not in _NO_SMALL_FILE]
    return {file.relative_to(folder).as_posix(): file for file in found}


def modules(folder: Path) -> list[Path]:
    """Return the folders of the modules that a sentence-transformers model has beside the model.

    Raises:
        ModelError: ``modules.json`` names none, or one outside of the folder.
    """
    file = folder / _MODULES
    if not file.is_file():
        return []
    listed = _json(file)
    names = (
        [entry.get("path") for entry in listed if isinstance(entry, dict)]
        if isinstance(listed, list)
        else [None]
    )
    for name in names:
        if (
            not isinstance(name, str)
            or not name.isprintable()
            or {"", "..", "/"} & {*PurePosixPath(name).parts}
        ):
            raise ModelError(f"{file}: each module must have a `path` in the folder, not {name!r}.")
    return [folder / name for name in names if name]


def code_needed(folder: Path, config: Mapping[str, Any]) -> list[str]:
    """Return the code that a model's settings ask for: files, and hub names (``org/name``)."""
    settings = [config, *(_json(file) for file in sorted(folder.glob("*config.json")))]
    return list(
        dict.fromkeys(
            text.partition("--")[0] if "--" in text else text.rpartition(".")[0] + ".py"
            for content in settings
            for text in _references(content)
        )
    )


def _references(content: Any) -> Iterator[str]:
    """Yield what an object, or any below it, says of classes that are no library's."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key == "auto_map" and isinstance(value, dict):
                yield from _texts([*value.values()])
            else:
                yield from _references(value)
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
    """Say whether a folder has a tokenizer's settings and no file with its tokens.

    Tokenizers of bytes or characters need none; others would be lost.
    """
    settings = (folder / "tokenizer_config.json").is_file()
    return settings and not donated(folder, (TOKENS, *OTHER_TOKENS))


def has_tokenizer(folder: Path) -> bool:
    """Say whether a folder has a tokenizer, if only its settings."""
    return bool(donated(folder, (TOKENS, *OTHER_TOKENS, "tokenizer_config.json")))


def check_donor_files(folder: Path) -> None:
    """Check that the small files of a model folder can be read and are what they are called.

    Raises:
        ModelError: a file cannot be read, is too large, is no JSON object where it must be, or is a
            link to something that is not the model's.
    """
    _refuse_link(folder / _MODULES, folder)  # it says which other files there are
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
        raise ModelError(f"{file}: holds NaN or infinity, which JSON does not have.") from error


def _refuse_link(file: Path, folder: Path) -> None:
    """Refuse a link that leads out of the model's folder, unless the hub's cache made it."""
    target, home = file.resolve(), folder.resolve()
    if target.is_relative_to(home):
        return
    from huggingface_hub.constants import HF_HUB_CACHE

    caches = [Path(HF_HUB_CACHE).resolve()]
    if home.parent.name == "snapshots":  # of a cache elsewhere
        caches.append(home.parent.parent / "blobs")
    if not any(target.is_relative_to(cache) for cache in caches):
        raise ModelError(
            f"{file}: is a link to {target}, which is not in the model's folder; copy that file "
            "there if it belongs to the model."
        )
