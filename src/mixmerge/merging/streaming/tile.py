"""The piece of all input tensors that a method processes at a time."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.rounding import Bits, widen_into
from mixmerge.merging.kernels.selection import Difference, Keys, subtract_bfloat16
from mixmerge.merging.models.sources import STORED, Source, scratch


class Tile:
    """The same piece of every model's tensor, as float32; a method may overwrite it.

    It is read on first use into memory of its thread, which the thread's next tile overwrites.
    """

    def __init__(
        self, models: Sequence[Source], base: Source | None, start: int, count: int, columns: int
    ) -> None:
        """Describe ``count`` elements from ``start`` on, in row-major order; nothing is read.

        ``columns`` is the last dimension; it divides ``count`` if the method asks for rows.
        """
        self.start, self.count, self.columns = start, count, columns
        self._sources, self._base_source = models, base
        self._models: Array | None = None
        self._are_deltas = False

    @property
    def models(self) -> Array:
        """The models' piece, or task vectors, shape (models, count), in the recipe's order."""
        if self._models is None:
            self._models = self._room()
            for source, row in zip(self._sources, self._models, strict=True):
                source.read(self.start, row)
        return self._models

    @property
    def has_base(self) -> bool:
        """Whether there is a base."""
        return self._base_source is not None

    @cached_property
    def base(self) -> Array:
        """The base model's piece, shape (count,)."""
        assert self._base_source is not None
        base = scratch("base", 4 * self.count).view(np.float32)
        if self._base_bits is not None:
            widen_into(self._base_bits.view(np.uint8), "BF16", base)
        else:
            self._base_source.read(self.start, base)
        return base

    def to_deltas(self) -> Array:
        """Subtract the base from the models in place: the task vectors, shape (models, count).

        Calling it again returns the same memory.
        """
        if not self._are_deltas and self._models is not None:
            np.subtract(self._models, self.base, out=self._models)
        elif not self._are_deltas:
            self._models = self._room()
            for model, row in enumerate(self._models):
                difference = self._difference(model)
                if difference is not None:
                    subtract_bfloat16(*difference, row)
                else:
                    self._sources[model].read(self.start, row)
                    np.subtract(row, self.base, out=row)
        self._are_deltas = True
        return self.models

    def delta_keys(self) -> list[Keys]:
        """Return keys that rank the elements of each task vector by magnitude."""
        stored = [self._difference(model) for model in range(len(self._sources))]
        known = [difference for difference in stored if difference is not None]
        return [*known] if len(known) == len(stored) else [*self.to_deltas()]

    def _difference(self, model: int) -> Difference | None:
        """Return a task vector as two bfloat16 tensors, if they are stored like that."""
        if self._base_bits is None:
            return None
        bits = self._bits(self._sources[model], f"stored {model}")
        return None if bits is None else Difference(bits, self._base_bits)

    @cached_property
    def _base_bits(self) -> Bits | None:
        return self._bits(self._base_source, "stored base")

    def _bits(self, source: Source | None, purpose: str) -> Bits | None:
        if not isinstance(source, STORED) or source.dtype != "BF16":
            return None
        return source.bfloat16(self.start, self.count, purpose)

    def _room(self) -> Array:
        count = len(self._sources)
        memory = scratch("models", 4 * count * self.count)
        return memory.view(np.float32).reshape(count, self.count)

    def rows(self, values: Array) -> Array:
        """Return ``values`` with the last dimension split into rows and columns."""
        return values.reshape(*values.shape[:-1], -1, self.columns)
