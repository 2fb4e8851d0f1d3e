"""A model on disk: its tensors by name, configuration, vocabulary and small files.

Models may be untrusted, so headers are checked before any weight is read.
"""

import copy
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

from mixmerge.errors import ModelError
from mixmerge.fingerprint import file_fingerprint
from mixmerge.hub import module_folders
from mixmerge.merging.models import donor_files
from mixmerge.merging.models.equivalences import common_names, experts_one_by_one, unpacked
from mixmerge.merging.models.layout import is_recomputed
from mixmerge.merging.models.pickled import is_pickled, pickled_tensors
from mixmerge.merging.models.safetensors_io import StoredTensor, read_header
from mixmerge.merging.models.sources import Source, StoredSource, WeightFile
from mixmerge.records import ModelFolder, weight_map

_ONE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_SAMPLE = 4096


class Checkpoint:
    """A model folder with its headers read and checked; no weight is loaded."""

    def __init__(self, name: str, path: Path, *, allow_pickle: bool = False) -> None:
        """Read the headers of all weight files; ``name`` is for messages.

        Raises:
            ModelError: the folder is incomplete, a header is wrong, or weights are pickled and
                ``allow_pickle`` is false.
        """
        if is_pickled(path):
            tensors = pickled_tensors(path, allowed=allow_pickle)
        else:
            ModelFolder(path, needs_tokenizer=False)
            tensors = _tensors(path)
        check_names(tensors)
        donor_files.check_donor_files(path)
        for module in module_folders(path):
            tensors += _of_module(path / module, path, allow_pickle)
        self._hold(name, path, donor_files.read_object(path / "config.json"), tensors)

    def _hold(
        self, name: str, path: Path, config: dict[str, Any], tensors: Iterable[StoredTensor]
    ) -> None:
        self.name = name
        self.path = path
        self.config = config
        named = {tensor.name: tensor for tensor in tensors}
        self.buffers = [name for name, each in named.items() if is_recomputed(name, each.shape)]
        """Names of stored buffers, which every loader recomputes."""
        self.tensors = {name: named[name] for name in named if name not in {*self.buffers}}
        if not self.tensors:
            raise ModelError(f"{path}: contains no tensors.")
        self._files = {file: WeightFile(file) for file in {t.file for t in self.tensors.values()}}

    @property
    def folders(self) -> tuple[Path, ...]:
        """All folders that the model is read from."""
        return (self.path,)

    @property
    def tokenizer_folder(self) -> Path:
        """The folder of the tokenizer whose ids number the rows of the embedding."""
        return self.path

    def source(self, tensor: str) -> Source:
        """Return a tensor to read from."""
        return self.stored(tensor)

    def stored(self, tensor: str) -> StoredSource:
        """Return a tensor to read from, as the file stores it."""
        stored = self.tensors[tensor]
        return StoredSource(stored, self._files[stored.file])

    def with_tensors(self, tensors: dict[str, StoredTensor]) -> Self:
        """Return the same checkpoint with its tensors renamed or split."""
        if tensors.keys() == self.tensors.keys():
            return self
        renamed = copy.copy(self)
        renamed.tensors = tensors
        return renamed

    def check_unchanged(self) -> None:
        """Refuse weight files that changed since they were opened.

        Raises:
            ModelError: a file was modified or replaced.
        """
        for file in self._files.values():
            file.check_unchanged()

    def close(self) -> None:
        """Close the weight files."""
        for file in self._files.values():
            file.close()

    @cached_property
    def fingerprint(self) -> str:
        """Hash of every tensor's name, type and shape, and of its first and last 4 KiB.

        Training changes every tensor almost everywhere, so this tells models apart without reading
        gigabytes; it does not protect against deliberate deception.
        """
        digest = hashlib.sha256()
        stored = [(tensor.name, self.stored(name)) for name, tensor in self.tensors.items()]
        for name, source in sorted(stored, key=itemgetter(0)):
            tensor = source.tensor
            digest.update(f"{name}\0{tensor.dtype}\0{tensor.shape}\0".encode())
            size = min(_SAMPLE, tensor.nbytes)
            digest.update(source.read_bytes(0, size))
            digest.update(source.read_bytes(tensor.nbytes - size, size))
        return digest.hexdigest()

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """Token ids by token, from ``tokenizer.json``; empty if there is no such file.

        Raises:
            ModelError: the file is not a tokenizer.
        """
        file = self.tokenizer_folder / "tokenizer.json"
        if not file.is_file():
            return {}
        content = donor_files.read_object(file)
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
        """Hash of the tokenizer file; None if there is none."""
        files = donor_files.donated(
            self.tokenizer_folder, (donor_files.TOKENS, *donor_files.OTHER_TOKENS)
        ).values()
        return next(map(file_fingerprint, files), None)


def check_names(tensors: Iterable[StoredTensor]) -> None:
    """Refuse names with a slash, which could equal the name ``FOLDER/NAME`` of a module's tensor.

    Raises:
        ModelError: a name has a slash or a backslash; the message has file and tensor.
    """
    for tensor in tensors:
        if "/" in tensor.name or "\\" in tensor.name:
            raise ModelError(
                f"{tensor.file}: tensor {tensor.name!r}: a name with a slash cannot be merged; "
                "rename the tensor."
            )


def _of_module(module: Path, path: Path, allow_pickle: bool) -> list[StoredTensor]:
    """Return the tensors of a sentence-transformers module, named ``FOLDER/NAME``."""
    found = []
    for folder in [module, *sorted(folder for folder in module.rglob("*") if folder.is_dir())]:
        if is_pickled(folder):
            tensors = pickled_tensors(folder, allowed=allow_pickle)
        else:
            files = sorted(folder.glob("*.safetensors"))
            tensors = [each for file in files for each in read_header(file)]
        check_names(tensors)
        below = folder.relative_to(path).as_posix()
        found += [replace(each, name=f"{below}/{each.name}", module=below) for each in tensors]
    return found


def _tensors(path: Path) -> list[StoredTensor]:
    one, index = path / _ONE, path / _INDEX
    if one.is_file() and index.is_file() and {*weight_map(index).values()} != {_ONE}:
        raise ModelError(
            f"{path}: has both {_ONE} and {_INDEX}; one is left over from an older save. Remove it."
        )
    if one.is_file() and not index.is_file():
        return read_header(one)
    if not index.is_file():
        hint = (
            "it is an adapter: merge it into its model first"
            if (path / "adapter_config.json").is_file()
            else "save the model with `save_pretrained`"
        )
        raise ModelError(f"{path}: has neither {_ONE} nor {_INDEX}; {hint}.")
    return _indexed(path, index)


def _indexed(path: Path, index: Path) -> list[StoredTensor]:
    """Read the shards that an index lists, and check that they match it."""
    places = weight_map(index)
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


def with_common_names(models: Sequence[Checkpoint]) -> list[Checkpoint]:
    """Return the models with the first model's name for each weight; see `equivalences`.

    Experts that some models store one by one and others pack become one by one in all.
    """
    names = [model.tensors.keys() for model in models]
    if all(each == names[0] for each in names):
        return list(models)
    single = [experts_one_by_one(each) for each in names]
    forms = [
        unpacked(model.tensors, model.config, set().union(*single) - own)
        for model, own in zip(models, single, strict=True)
    ]
    # Unpacked experts got made-up names, so prefer those of a model that stores them one by one.
    order = sorted(range(len(models)), key=lambda at: len(forms[at]) > len(names[at]))
    # A module's names say nothing of what the model is wrapped in.
    own = [[name for name, tensor in forms[at].items() if not tensor.module] for at in order]
    renamed = dict(zip(order, common_names(own), strict=True))
    return [
        model.with_tensors({renamed[at].get(name, name): each for name, each in forms[at].items()})
        for at, model in enumerate(models)
    ]
