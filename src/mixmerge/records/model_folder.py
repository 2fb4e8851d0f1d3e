"""A model on disk: a Hugging Face folder, checked without loading a weight."""

import math
import reprlib
from functools import cached_property
from pathlib import Path
from typing import Any

from mixmerge.errors import ModelError, SpecError
from mixmerge.files import read_json
from mixmerge.fingerprint import folder_fingerprint

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")


class ModelFolder:
    """A complete Hugging Face causal language model: configuration, tokenizer, safetensors."""

    def __init__(self, path: Path, *, needs_tokenizer: bool = True) -> None:
        """Check that ``path`` holds what transformers needs to load it.

        Raises:
            ModelError: a part is missing; the message names it.
        """
        self.path = path
        if not path.is_dir():
            raise ModelError(f"{path}: no such folder; a model is a Hugging Face folder.")
        if not (path / "config.json").is_file():
            raise ModelError(f"{path}: no config.json; a model is a Hugging Face folder.")
        if needs_tokenizer and not any((path / name).is_file() for name in _TOKENIZER_FILES):
            raise ModelError(
                f"{path}: no tokenizer (one of {', '.join(_TOKENIZER_FILES)} is required). "
                "Copy the tokenizer files of the base model into the folder."
            )
        if not any(path.glob("*.safetensors")):
            raise ModelError(f"{path}: no *.safetensors file; convert the weights first.")
        for index in (*path.glob("*.safetensors.index.json"), *path.glob("*.bin.index.json")):
            if index.is_file():
                weight_map(index)

    @property
    def config(self) -> dict[str, Any]:
        """The content of ``config.json``."""
        config: dict[str, Any] = read_json(self.path / "config.json")
        return config

    @cached_property
    def weights(self) -> int:
        """The number of weights, from the headers; tied weights are stored, and counted, once."""
        from safetensors import SafetensorError, safe_open

        total = 0
        for file in sorted(self.path.glob("*.safetensors")):
            try:
                with safe_open(file, framework="numpy") as stored:
                    shapes = [stored.get_slice(name).get_shape() for name in stored.keys()]  # noqa: SIM118
            except SafetensorError as error:
                raise ModelError(f"{file}: not a valid safetensors file ({error}).") from error
            total += sum(map(math.prod, shapes))
        return total

    def fingerprint(self) -> str:
        """Return the hash of all files of the model."""
        return folder_fingerprint(self.path)


def weight_map(index: Path) -> dict[str, str]:
    """Return the file of each tensor in an index of weights.

    Raises:
        ModelError: an entry is not a file name, or its file is not in the folder.
    """
    try:
        content = read_json(index)
    except SpecError as error:
        raise ModelError(str(error)) from error
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places:
        raise ModelError(f"{index}: `weight_map` must name a file for each tensor.")
    for name, file in places.items():
        if not isinstance(file, str) or not _is_file_name(file):
            raise ModelError(
                f"{index}: tensor {name!r}: {reprlib.repr(file)} is not a file name in the folder."
            )
    return places


def _is_file_name(text: str) -> bool:
    return Path(text).name == text and text not in ("", ".", "..") and "\0" not in text
