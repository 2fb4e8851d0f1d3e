"""A model on disk: a Hugging Face folder, checked without loading a weight."""

from pathlib import Path
from typing import Any

from mixmerge.errors import ModelError
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

    @property
    def config(self) -> dict[str, Any]:
        """The content of ``config.json``."""
        config: dict[str, Any] = read_json(self.path / "config.json")
        return config

    def fingerprint(self) -> str:
        """Return the hash of all files of the model."""
        return folder_fingerprint(self.path)
