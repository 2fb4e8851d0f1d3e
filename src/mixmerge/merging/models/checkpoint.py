"""A model on disk as merging sees it: tensors by name, configuration, vocabulary."""

import hashlib
import reprlib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mixmerge.errors import ModelError
from mixmerge.fingerprint import file_fingerprint
from mixmerge.merging.models.donor_files import (
    OTHER_TOKENS,
    TOKENS,
    check_donor_files,
    donated,
    read_object,
)
from mixmerge.merging.models.safetensors_io import StoredTensor, read_header
from mixmerge.merging.models.sources import Source, StoredSource, WeightFile
from mixmerge.records import ModelFolder

_ONE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_SAMPLE = 4096


class Checkpoint:
    """The headers of a model folder, read and checked; no weight is loaded."""

    def __init__(self, name: str, path: Path) -> None:
        """Read the headers of all weight files.

        Args:
            name: what messages call the model.
            path: a Hugging Face model folder.

        Raises:
            ModelError: the folder is incomplete, or a header is wrong.
        """
        ModelFolder(path)
        self._hold(name, path, read_object(path / "config.json"), _tensors(path))

    def _hold(
        self, name: str, path: Path, config: dict[str, Any], tensors: Iterable[StoredTensor]
    ) -> None:
        self.name = name
        self.path = path
        self.config = config
        self.tensors = {tensor.name: tensor for tensor in tensors}
        if not self.tensors:
            raise ModelError(f"{path}: holds no tensor.")
        check_donor_files(path)
        self._files = {file: WeightFile(file) for file in {t.file for t in self.tensors.values()}}

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder that is read from."""
        return (self.path,)

    @property
    def tokenizer_folder(self) -> Path:
        """Where the tokenizer is whose ids the embedding's rows have."""
        return self.path

    def source(self, tensor: str) -> Source:
        """Return a tensor's elements, to be read."""
        return self.stored(tensor)

    def stored(self, tensor: str) -> StoredSource:
        """Return a tensor's elements as they are in the file, to be read."""
        stored = self.tensors[tensor]
        return StoredSource(stored, self._files[stored.file])

    def check_unchanged(self) -> None:
        """Refuse files of weights that changed since they were first looked at.

        Raises:
            ModelError: a file was written to, or replaced.
        """
        for file in self._files.values():
            file.check_unchanged()

    def close(self) -> None:
        """Close the files of weights."""
        for file in self._files.values():
            file.close()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what every tensor is called and looks like, and of its first and last 4 KiB.

        Training changes every tensor almost everywhere, so this tells models apart without
        reading gigabytes; it is not a proof against someone who wants to deceive.
        """
        digest = hashlib.sha256()
        for name in sorted(self.tensors):
            tensor, source = self.tensors[name], self.stored(name)
            digest.update(f"{name}\0{tensor.dtype}\0{tensor.shape}\0".encode())
            size = min(_SAMPLE, tensor.nbytes)
            digest.update(source.read_bytes(0, size))
            digest.update(source.read_bytes(tensor.nbytes - size, size))
        return digest.hexdigest()

    @property
    def nbytes(self) -> int:
        """Bytes of weights."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    @property
    def ties_embeddings(self) -> bool:
        """Whether the configuration says that the head is the embedding."""
        return bool(self.config.get("tie_word_embeddings", False))

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Token ids by token, from ``tokenizer.json``; empty where there is no such file.

        Raises:
            ModelError: the file is not a tokenizer.
        """
        file = self.tokenizer_folder / "tokenizer.json"
        if not file.is_file():
            return {}
        content = read_object(file)
        try:
            vocabulary = content["model"]["vocab"]
            if isinstance(vocabulary, list):  # unigram models list (token, score) by id
                vocabulary = {entry[0]: number for number, entry in enumerate(vocabulary)}
            added = {token["content"]: token["id"] for token in content.get("added_tokens", [])}
            vocabulary = {**vocabulary, **added}
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ModelError(f"{file}: not a tokenizer of the tokenizers library.") from error
        for token, number in vocabulary.items():
            if not isinstance(token, str) or type(number) is not int or number < 0:
                raise ModelError(f"{file}: token {token!r:.60} has the id {number!r:.60}.")
        return vocabulary

    @cached_property
    def tokenizer_digest(self) -> str | None:
        """Hash of the file that decides which text becomes which token, where there is one."""
        files = donated(self.tokenizer_folder, (TOKENS, *OTHER_TOKENS)).values()
        return next(map(file_fingerprint, files), None)


def _tensors(path: Path) -> list[StoredTensor]:
    one, index = path / _ONE, path / _INDEX
    if one.is_file() and index.is_file():
        raise ModelError(
            f"{path}: has both {_ONE} and {_INDEX}; one is left over from an older save. Remove it."
        )
    if one.is_file():
        return read_header(one)
    if not index.is_file():
        hint = (
            "it is an adapter: merge it into its model first"
            if (path / "adapter_config.json").is_file()
            else "save the model with `save_pretrained`"
        )
        raise ModelError(f"{path}: has neither {_ONE} nor {_INDEX}; {hint}.")
    return _indexed(path, index)


def _is_file_name(text: str) -> bool:
    return Path(text).name == text and text not in ("", ".", "..") and "\0" not in text


def _indexed(path: Path, index: Path) -> list[StoredTensor]:
    """Read the shards that an index names, and check that both say the same."""
    places = read_object(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ModelError(f"{index}: `weight_map` must name a file for each tensor.")
    for name, file in places.items():
        if not isinstance(file, str) or not _is_file_name(file):
            raise ModelError(
                f"{index}: tensor {name!r}: {reprlib.repr(file)} is not a file name in the folder."
            )
    stored = [
        tensor for file in sorted(set(places.values())) for tensor in read_header(path / file)
    ]
    seen: dict[str, str] = {}
    for tensor in stored:
        if tensor.name in seen:
            files = f"{seen[tensor.name]} and {tensor.file.name}"
            raise ModelError(f"{path}: tensor {tensor.name!r} is in two files: {files}.")
        seen[tensor.name] = tensor.file.name
    for name in [*places, *seen]:
        if places.get(name) != seen.get(name):
            raise ModelError(
                f"{index}: tensor {name!r}: the index says {places.get(name)}, "
                f"the files say {seen.get(name)}."
            )
    return stored


class PrefixedCheckpoint(Checkpoint):
    """A checkpoint with a word before the name of every tensor."""

    def __init__(self, model: Checkpoint, prefix: str) -> None:
        """Rename the tensors of a checkpoint that is open already."""
        self._model = model
        self._prefix = prefix
        self.name, self.path, self.config = model.name, model.path, model.config
        self.tensors = {prefix + name: tensor for name, tensor in model.tensors.items()}

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every folder that is read from."""
        return self._model.folders

    @property
    def tokenizer_folder(self) -> Path:
        """Where the tokenizer is whose ids the embedding's rows have."""
        return self._model.tokenizer_folder

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the checkpoint as it is stored."""
        return self._model.fingerprint

    def source(self, tensor: str) -> Source:
        """Return a tensor's elements, to be read."""
        return self._model.source(tensor.removeprefix(self._prefix))

    def stored(self, tensor: str) -> StoredSource:
        """Return a tensor's elements as they are in the file, to be read."""
        return self._model.stored(tensor.removeprefix(self._prefix))

    def check_unchanged(self) -> None:
        """Refuse files of weights that changed since they were first looked at."""
        self._model.check_unchanged()

    def close(self) -> None:
        """Close the files of weights."""
        self._model.close()


def with_common_names(models: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Return the models, those without a first word that others have with it."""
    return [
        PrefixedCheckpoint(model, prefix) if prefix else model
        for model in models
        for prefix in [next(filter(None, (_prefix(model, other) for other in models)), "")]
    ]


def _prefix(model: Checkpoint, other: Checkpoint) -> str:
    """Return the word that makes most names of a model names of another; empty if there is none."""
    names = other.tensors.keys()
    if names.isdisjoint(model.tensors):
        for word in dict.fromkeys(name.partition(".")[0] + "." for name in names):
            if 2 * sum(word + name in names for name in model.tensors) > len(model.tensors):
                return word
    return ""
