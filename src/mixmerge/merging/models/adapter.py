"""A model with a LoRA adapter applied on the fly.

No merged copy is written: reading a piece of an adapted tensor gives the same piece of the model's
tensor plus the matching rows of s B A.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from mixmerge.errors import ModelError
from mixmerge.fingerprint import file_fingerprint, fingerprint
from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.linear_algebra import add_low_rank, row_dots
from mixmerge.merging.models.adapter_files import CONFIG, AdapterFile, Module, read_adapter
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.donor_files import check_donor_files
from mixmerge.merging.models.equivalences import (
    common_key,
    experts_one_by_one,
    keyed,
    same_bytes,
    unpacked,
)
from mixmerge.merging.models.layout import denies_tied_head, embedding, head, is_embedding, is_head
from mixmerge.merging.models.safetensors_io import StoredTensor
from mixmerge.merging.models.sources import Source, StoredSource, WeightFile

_HEAD = "lm_head.weight"
_KEPT_FACTORS = 16
"""Factors kept in memory, for the tensors being merged; others are read again."""


@dataclass(frozen=True)
class Change:
    """An addition to one tensor: ``scale * left @ right``, or ``scale * right`` for a vector."""

    left: StoredTensor | None
    right: StoredTensor
    transposed: bool
    """Whether both factors are stored as their transposes."""
    scale: float
    module: str
    """The module's name in the adapter."""
    magnitude: StoredTensor | None = None
    """DoRA's norms: each row of the sum is scaled to have its norm."""


class AdaptedCheckpoint(Checkpoint):
    """A model with an adapter, used like the adapted model."""

    def __init__(
        self, model: Checkpoint, adapter: Path, base: str = "", *, allow_pickle: bool = False
    ) -> None:
        """Match every tensor of a peft adapter to the tensor of the model that it changes.

        ``base`` is the reference of the model; by default its folder.

        Raises:
            ModelError: the adapter is not a LoRA, or a tensor of it does not fit the model.
        """
        check_donor_files(adapter)
        content = read_adapter(adapter, allow_pickle=allow_pickle)
        self.unadapted, self.base = model, base or str(model.path)
        model = _prepared(model, content)
        fit = _Fit(model, content)
        self._whole = fit.replacements()
        config = model.config
        if any(is_head(name) and name not in model.tensors for name in self._whole):
            config = {**config, "tie_word_embeddings": False}
        tensors = {**model.tensors, **self._whole}
        self._hold(model.name, model.path, config, tensors.values())
        self.buffers = model.buffers
        self._files.setdefault(content.file, WeightFile(content.file))
        self._changes = fit.changes(tensors)
        self._factor = lru_cache(_KEPT_FACTORS)(self._read_factor)
        self._model, self.adapter = model, content
        self.trained_whole = {
            own: name for name, own in fit.owners.items() if name not in content.untrained
        }
        """Tensors that were trained whole: the adapter's names for them by the model's."""

    def source(self, tensor: str) -> Source:
        """Return a tensor of the adapted model."""
        own = self.stored(tensor)
        source: Source = own
        for change in self._changes.get(own.tensor.name, ()):
            source = AdaptedSource(source, change, self._factor)
        return source

    @property
    def folders(self) -> tuple[Path, ...]:
        """The model's and the adapter's."""
        return (*self._model.folders, self.adapter.folder)

    @property
    def tokenizer_folder(self) -> Path:
        """The adapter's folder if the adapter resized the embedding."""
        grown = any(
            tensor.shape != self._model.tensors[name].shape
            for name, tensor in self._whole.items()
            if name in self._model.tensors
        )
        has_one = (self.adapter.folder / "tokenizer.json").is_file()
        return self.adapter.folder if grown and has_one else self._model.tokenizer_folder

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the model's fingerprint and of the adapter's files."""
        files = (self.adapter.file, self.adapter.folder / CONFIG)
        return fingerprint([self._model.fingerprint, *map(file_fingerprint, files)])

    def close(self) -> None:
        """Close all weight files, including the model's own, which its fingerprint reads."""
        super().close()
        self._model.close()

    def _read_factor(self, tensor: StoredTensor, transposed: bool) -> Array:
        values = np.empty(tensor.size, np.float32)
        StoredSource(tensor, self._files[tensor.file]).read(0, values)
        factor = values.reshape(tensor.shape)
        return np.ascontiguousarray(factor.T) if transposed else factor


class AdaptedSource:
    """A tensor plus its change, computed in float32 when rows are read."""

    def __init__(
        self, own: Source, change: Change, factor: Callable[[StoredTensor, bool], Array]
    ) -> None:
        self.own, self.change, self.factor = own, change, factor
        self.name = f"{own.name} (with {change.right.file.parent.name})"
        self.dtype, self.shape = own.dtype, own.shape
        self.by_row = change.left is not None
        self.is_bias = change.left is None

    def read(self, start: int, out: Array) -> None:
        """Fill ``out`` with whole rows, from element ``start`` on; see `Source.read`."""
        self.own.read(start, out)
        change = self.change
        right = self.factor(change.right, change.transposed)
        if change.left is None:
            out += np.float32(change.scale) * right[start : start + out.size]
            return
        columns = right.shape[1]
        rows = slice(start // columns, (start + out.size) // columns)
        left = self.factor(change.left, change.transposed)
        matrix = out.reshape(-1, columns)
        add_low_rank(matrix, left[rows], right, change.scale)
        if change.magnitude is not None:
            norms = np.sqrt(row_dots(matrix, matrix))
            matrix *= (self.factor(change.magnitude, False)[rows] / norms)[:, None].astype("f4")


def _prepared(model: Checkpoint, content: AdapterFile) -> Checkpoint:
    """Unpack experts and drop a duplicate tied head if the adapter needs it."""
    changed = [*content.whole, *(f"{module}.weight" for module in content.modules)]
    experts = experts_one_by_one(changed) - experts_one_by_one(model.tensors)
    tensors = unpacked(model.tensors, model.config, experts)
    own, table = head(tensors), embedding(tensors, model.config)
    touched = any(is_head(name) or is_embedding(name) for name in changed)
    may_be_tied = own and table and touched and not denies_tied_head(model.config)
    if own and table and may_be_tied and same_bytes(tensors[own], tensors[table]):
        del tensors[own]
    return model.with_tensors(tensors)


@dataclass(frozen=True)
class _Fit:
    """Matches the tensors of an adapter to those of its model."""

    model: Checkpoint
    content: AdapterFile
    owners: dict[str, str] = field(default_factory=dict)
    """The model's names of the tensors that are replaced, by the adapter's."""

    def replacements(self) -> dict[str, StoredTensor]:
        """Return the tensors that replace the model's, by the model's names."""
        found: dict[str, StoredTensor] = {}
        for name, tensor in self.content.whole.items():
            if self._is_still_tied(name, tensor):
                continue
            own = self._own_name(name, found)
            stored = self.model.tensors.get(own)
            # The vocabulary may have grown before the adapter was trained.
            first = 1 if is_head(own) or own == self._embedding else 0
            if stored is not None and stored.shape[first:] != tensor.shape[first:]:
                raise self._misfit(own, stored.shape, tensor.shape)
            found[own] = replace(tensor, name=own)
            self.owners[name] = own
        return found | self._head_left_behind()

    def changes(self, tensors: dict[str, StoredTensor]) -> dict[str, list[Change]]:
        """Return what is added to each tensor of the model, after replacements."""
        found: dict[str, list[Change]] = {}
        of_head: dict[str, list[Change]] = {}
        for module, stored in self.content.modules.items():
            name = f"{module}.weight"
            if self._ties_head and is_head(name) and self._embedding and head(tensors) is None:
                # One weight, to which peft adds the changes of both modules.
                shape = tensors[self._embedding].shape
                change = self._change(self._embedding, module, shape, stored)
                if change.magnitude is not None:
                    raise ModelError(
                        f"{self.content.file}: module {module}: DoRA on a head that is tied to its "
                        "embedding cannot be applied while merging."
                    )
                of_head[self._embedding] = [change]
                continue
            name = self._own_name(name, found, tensors)
            found[name] = [self._change(name, module, tensors[name].shape, stored)]
            if "shift" in stored.factors:
                bias, vector = self._own_name(f"{module}.bias", found), stored.factors["shift"]
                if tensors[bias].shape != vector.shape:
                    raise self._misfit(bias, tensors[bias].shape, vector.shape)
                found[bias] = [Change(None, vector, False, stored.scale, module)]
        self._check_orientation({name: change for name, (change,) in found.items()}, tensors)
        return found | {name: found.get(name, []) + more for name, more in of_head.items()}

    @cached_property
    def _ties_head(self) -> bool:
        return head(self.model.tensors) is None and not denies_tied_head(self.model.config)

    @cached_property
    def _new_embedding(self) -> StoredTensor | None:
        """The fully trained embedding, if there is one."""
        whole, untrained = self.content.whole, self.content.untrained
        names = [name for name in whole if is_embedding(name) and name not in untrained]
        return next((whole[name] for name in names if self._find(name) == self._embedding), None)

    def _is_still_tied(self, name: str, tensor: StoredTensor) -> bool:
        """Whether a stored head equals the embedding, so it was not trained separately."""
        if not (self._ties_head and is_head(name) and self._embedding):
            return False
        if name in self.content.untrained:
            return self._new_embedding is None
        return same_bytes(tensor, self._new_embedding or self.model.tensors[self._embedding])

    def _head_left_behind(self) -> dict[str, StoredTensor]:
        """Return the old embedding as head, if only the embedding of a tied model was trained."""
        kind = str((self.model.config.get("architectures") or [""])[0])
        if not (
            self._ties_head
            and self._embedding
            and self._new_embedding
            and kind.endswith(("ForCausalLM", "LMHeadModel"))
            and not any(map(is_head, self.content.whole))
        ):
            return {}
        old = self.model.tensors[self._embedding]
        if old.shape != self._new_embedding.shape or same_bytes(old, self._new_embedding):
            return {}
        return {_HEAD: replace(old, name=_HEAD)}

    def _change(self, name: str, module: str, shape: tuple[int, ...], stored: Module) -> Change:
        if "embedding_a" in stored.factors:
            a, b = stored.factors["embedding_a"], stored.factors["embedding_b"]
            expected = a.shape[1], b.shape[0]
            if shape != expected:
                raise self._misfit(name, shape, expected)
            return Change(a, b, True, stored.scale, module)
        a, b = stored.factors["a"], stored.factors["b"]
        expected = b.shape[0], a.shape[1]
        if shape not in (expected, expected[::-1]):
            raise self._misfit(name, shape, expected)
        square = expected[0] == expected[1]
        transposed = self.content.transposed if square else shape != expected
        magnitude = stored.factors.get("magnitude")
        if not transposed:
            return Change(b, a, False, stored.scale, module, magnitude)
        if magnitude is not None:
            raise ModelError(
                f"{self.content.file}: module {module}: DoRA on a matrix that is stored as (in, "
                "out) cannot be applied while merging; merge this adapter into its model with peft "
                "first."
            )
        return Change(a, b, True, stored.scale, module)

    def _check_orientation(
        self, changes: dict[str, Change], tensors: dict[str, StoredTensor]
    ) -> None:
        """Refuse a `fan_in_fan_out` that the shapes of the other matrices contradict."""
        matrices = [
            name
            for name in changes
            if len(tensors[name].shape) == 2 and not is_head(name) and name != self._embedding
        ]
        square = [name for name in matrices if len(set(tensors[name].shape)) == 1]
        other = [name for name in matrices if name not in square]
        if square and any(changes[name].transposed != self.content.transposed for name in other):
            raise ModelError(
                f"{self.content.folder}: `fan_in_fan_out` is {self.content.transposed}, which the "
                f"shape of {other[0]} contradicts, so the orientation of {square[0]} is not known. "
                "Correct the setting in adapter_config.json."
            )

    @cached_property
    def _embedding(self) -> str | None:
        return embedding(self.model.tensors, self.model.config)

    @cached_property
    def _by_key(self) -> dict[str, str]:
        return keyed(self.model.tensors)

    @cached_property
    def _by_ending(self) -> dict[str, str]:
        return {key.partition(".")[2]: own for key, own in self._by_key.items()}

    def _find(self, name: str) -> str | None:
        """Return the model's name for a tensor; some models lack the first word of names."""
        if name in self.model.tensors:
            return name
        key = common_key(name)
        shorter = self._by_key.get(key.partition(".")[2])
        return self._by_key.get(key) or shorter or self._by_ending.get(key)

    def _own_name(
        self, name: str, taken: Container[str], tensors: Container[str] = frozenset()
    ) -> str:
        found = name if name in tensors else self._find(name)
        if found in taken:
            raise ModelError(f"{self.content.file}: changes {found} twice; the file is broken.")
        if found is not None:
            return found
        if is_head(name) and name in self.content.whole:
            return name  # trained separately from the embedding it was tied to
        raise ModelError(
            f"{self.content.file}: changes {name}, which {self.model.name} does not have: the "
            "adapter is for another model."
        )

    def _misfit(self, name: str, own: tuple[int, ...], change: tuple[int, ...]) -> ModelError:
        why = "the adapter is for another model"
        if "quantization_config" in self.model.config:
            why = "its weights are quantized; write `MODEL+ADAPTER` with the model before that"
        return ModelError(
            f"{self.content.file}: its change of {name} has shape {list(change)}, the "
            f"tensor of {self.model.name} has {list(own)}: {why}."
        )
