"""Models whose tensors have the same names but for the first word.

A model that was saved without its head is called ``h.0.…`` where the same model with its head is
called ``transformer.h.0.…``; both load alike. GPT-2 itself is of the first kind, its fine-tunes are
of the second.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.sources import Source, StoredSource


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
