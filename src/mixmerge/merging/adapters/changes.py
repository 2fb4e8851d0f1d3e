"""What an adapter must hold: the change of each module, computed when it is written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mixmerge.errors import ModelError
from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.low_rank import (
    Matrix,
    Product,
    closest,
    closest_to,
    squared_distance,
    squared_norm,
    summed,
)
from mixmerge.merging.methods.method import Method
from mixmerge.merging.models.adapter import AdaptedSource
from mixmerge.merging.models.sources import Source
from mixmerge.merging.planning.plan import Row
from mixmerge.merging.streaming.tensor import ParallelMap
from mixmerge.merging.write import compute

Dense = Callable[[ParallelMap, int], Array]
"""Computes the whole change of a tensor, given a parallel map and the bytes to hold."""

Lost = Callable[[Product], tuple[float, float]]
"""From stored factors to the squared norm of the change, and of its difference from them."""


@dataclass(frozen=True)
class Term:
    """One adapter's change of a module, and its weight in a sum."""

    weight: float
    source: AdaptedSource

    @property
    def factors(self) -> tuple[Array, Array]:
        """B and A as peft stores them, float32."""
        change, read = self.source.change, self.source.factor
        assert change.left is not None
        pair = (change.right, change.left) if change.transposed else (change.left, change.right)
        return read(pair[0], False), read(pair[1], False)

    @property
    def scaled(self) -> float:
        """The weight times the adapter's own scale."""
        return self.weight * self.source.change.scale

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Rows of B, rank, and columns of A."""
        change = self.source.change
        assert change.left is not None
        left, right = change.left.shape, change.right.shape
        if change.transposed:  # stored as A of shape (rank, in) and B of shape (out, rank)
            return right[0], left[0], left[1]
        return left[0], left[1], right[1]


@dataclass(frozen=True)
class Change:
    """The change of one module's matrix: a sum of low-rank terms, or any matrix."""

    module: str
    """The module's name in the adapter."""
    shape: tuple[int, int]
    """Outputs and inputs: those of peft's B and A."""
    rank: int
    """Of the factors that are written."""
    terms: tuple[Term, ...] = ()
    """What is added up; none: `dense` computes the change."""
    dense: Dense | None = None
    """The change as the model stores the matrix."""
    transposed: bool = False
    """Whether the model stores the matrix as (in, out)."""
    embedding: bool = False

    def factors(self, parallel_map: ParallelMap, hold: int) -> tuple[Product, Lost]:
        """Return the factors to write, and the measure of what is lost once they are stored."""
        if self.dense is None:
            whole = summed((term.scaled, *term.factors) for term in self.terms)
            cut = closest(whole, self.rank) if whole.b.shape[1] > self.rank else whole
            return cut, lambda stored: (squared_norm(whole), squared_distance(whole, stored))
        change = self.dense(parallel_map, hold).astype(np.float64)
        matrix: Matrix = change.T if self.transposed else change

        def measured(stored: Product) -> tuple[float, float]:
            rest = matrix - stored.b @ stored.a
            return float(np.sum(matrix * matrix)), float(np.sum(rest * rest))

        return closest_to(matrix, self.rank), measured


@dataclass(frozen=True)
class Whole:
    """A tensor that is written whole, under one or more names."""

    names: tuple[str, ...]
    """In the adapter: those of its module and parameter."""
    row: Row


@dataclass(frozen=True)
class Changes:
    """The content of an adapter."""

    changes: tuple[Change, ...]
    whole: tuple[Whole, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: Mapping[str, float] = field(default_factory=dict)
    """Norms of changes that are not among them, by tensor."""


def difference(row: Row, base: Source, method: Method, seed: int) -> Dense:
    """Return what computes a merged tensor minus that of the base, float32 in the row's shape."""

    def dense(parallel_map: ParallelMap, hold: int) -> Array:
        merged = np.empty(row.output.shape, np.float32)
        place = merged.reshape(-1).view(np.uint8)

        def receive(start: int, content: memoryview) -> None:
            place[start : start + len(content)] = content

        exact = replace(row, output=replace(row.output, dtype="F32"))
        compute(exact, method, seed, parallel_map, hold, receive)
        before = np.empty(merged.size, np.float32)
        base.read(0, before)
        merged -= before.reshape(merged.shape)
        return merged

    return dense


def unwrapped(source: Source) -> tuple[list[AdaptedSource], Source]:
    """Return the adapters' changes of a tensor, and the tensor without them."""
    found = []
    while isinstance(source, AdaptedSource):
        found.append(source)
        source = source.own
    return found, source


def check_ranks(changes: Sequence[Change], rank: int | None) -> None:
    """Refuse a rank that no matrix has.

    Raises:
        ModelError: nothing changes, or the rank is above that of every matrix.
    """
    if not changes:
        raise ModelError("No matrix of the base is changed, so there is no adapter to write.")
    largest = max(changes, key=lambda change: min(change.shape))
    if rank is not None and rank > min(largest.shape):
        raise ModelError(
            f"rank {rank}: no changed matrix has more than rank {min(largest.shape)} "
            f"({largest.module} is {largest.shape[0]} × {largest.shape[1]}); use a smaller rank."
        )
