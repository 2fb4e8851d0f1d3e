"""How far models are apart, tensor by tensor: one pass over their weights, in flat memory.

Everything that `inspect` reports of weights is made from sums over elements, so each tensor is read
only once, a tile at a time, and the sums of a layer are the sums of its tensors.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mixmerge.errors import ModelError
from mixmerge.merging.kernels.linear_algebra import CONFLICT, DIFFERENCE, conflict, difference, dot
from mixmerge.merging.kernels.rounding import STORED
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.safetensors_io import BYTES_PER_ELEMENT, StoredTensor
from mixmerge.merging.planning.compatibility import counterpart
from mixmerge.merging.streaming.tensor import TILE, Tensor, Tile
from mixmerge.merging.streaming.workers import processors
from mixmerge.progress import Progress, silent

_TILES_PER_JOB = 32
Job = tuple[str, range]
"""A tensor, and the elements of it to measure."""


class Sums(NamedTuple):
    """Sums over the elements of a tensor, or of several: float64, counts included."""

    elements: npt.NDArray[np.float64]
    """How many; shape ()."""
    squares: npt.NDArray[np.float64]
    """Squared norm of each input, the base first; shape (inputs,)."""
    differences: npt.NDArray[np.float64]
    """What `difference` says of every two inputs, in the order of ``combinations``."""
    conflicts: npt.NDArray[np.float64]
    """What `conflict` says of every two task vectors; shape (0, 5) without a base."""

    def plus(self, other: "Sums") -> "Sums":
        """Return the sums over the elements of both."""
        return Sums(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def cosines(self) -> list[float | None]:
        """Return the cosine of every two inputs, in the order of ``combinations``."""
        norms = combinations(np.sqrt(self.squares).tolist(), 2)
        products = self.differences[:, 0].tolist()
        return [cosine(product, *pair) for product, pair in zip(products, norms, strict=True)]


def cosine(product: float, norm: float, other_norm: float) -> float | None:
    """Return a cosine, in [-1, 1]; None where a vector has no direction."""
    if not norm or not other_norm:
        return None
    return min(1.0, max(-1.0, product / norm / other_norm))


def nothing(inputs: int, *, has_base: bool) -> Sums:
    """Return the sums over no elements."""
    vectors = inputs - 1 if has_base else 0
    return Sums(
        np.zeros(()),
        np.zeros(inputs),
        np.zeros((math.comb(inputs, 2), DIFFERENCE)),
        np.zeros((math.comb(vectors, 2), CONFLICT)),
    )


def sums_of(tile: Tile) -> Sums:
    """Return the sums over a tile's elements; its models become task vectors if it has a base."""
    rows = list(tile.models)
    has_base = tile.has_base
    if has_base:
        rows.insert(0, tile.base)
    squares = np.array([dot(row, row) for row in rows])
    differences = [difference(*pair) for pair in combinations(rows, 2)]
    vectors = tile.to_deltas() if has_base else ()
    conflicts = [conflict(*pair) for pair in combinations(vectors, 2)]
    return Sums(
        np.array(tile.count, np.float64),
        squares,
        np.reshape(differences, (-1, DIFFERENCE)),
        np.reshape(conflicts, (-1, CONFLICT)),
    )


@dataclass(frozen=True)
class Compared:
    """The sums of every tensor that could be compared."""

    models: tuple[str, ...]
    """Names of the inputs, the base first."""
    has_base: bool
    """Whether the first of them is the base of the others' task vectors."""
    sums: Mapping[str, Sums]
    """By tensor, in the order of the models' files."""
    left_out: tuple[str, ...]
    """Tensors that are not in every model with one shape, or are not weights but buffers."""
    broken: Mapping[str, str]
    """What is wrong with tensors that could not be read: NaN, infinity, a file cut short."""


def compare(
    models: Sequence[Checkpoint],
    *,
    has_base: bool,
    threads: int | None = None,
    progress: Progress = silent,
) -> Compared:
    """Read the tensors that all models have in one shape, each once.

    With ``has_base`` the first model is the base of the others' task vectors, which are compared
    too. The result does not depend on the number of threads.

    Raises:
        ModelError: a file changed while it was read.
    """
    every = dict.fromkeys(name for model in models for name in (*model.tensors, *model.buffers))
    names = [name for name in every if _is_comparable(models, name)]
    sums = {name: nothing(len(models), has_base=has_base) for name in names}
    broken: dict[str, str] = {}
    for name, result in _measure(models, names, has_base, threads, progress):
        if isinstance(result, ModelError):
            broken.setdefault(name, str(result))
        else:
            sums[name] = sums[name].plus(result)
    for model in models:
        model.check_unchanged()
    return Compared(
        models=tuple(model.name for model in models),
        has_base=has_base,
        sums={name: total for name, total in sums.items() if name not in broken},
        left_out=tuple(name for name in every if name not in sums),
        broken=broken,
    )


def _inputs(models: Sequence[Checkpoint], name: str) -> list[tuple[Checkpoint, str]]:
    """Return what the models that have it call the tensor: a tied head is the embedding."""
    found = [(model, counterpart(model, name)) for model in models]
    return [(model, at) for model, at in found if at is not None]


def _stored(models: Sequence[Checkpoint], name: str) -> list[StoredTensor]:
    return [model.tensors[at] for model, at in _inputs(models, name)]


def _is_comparable(models: Sequence[Checkpoint], name: str) -> bool:
    stored = _stored(models, name)
    return len(stored) == len(models) and all(
        tensor.dtype in STORED and tensor.shape == stored[0].shape for tensor in stored
    )


def _measure(
    models: Sequence[Checkpoint],
    names: Sequence[str],
    has_base: bool,
    threads: int | None,
    progress: Progress,
) -> Iterator[tuple[str, Sums | ModelError]]:
    """Yield the sums of every piece of every tensor, in order, on several threads."""
    stored = {name: _stored(models, name) for name in names}
    tensors = {name: _tensor(name, models, has_base) for name in names}
    jobs = [(name, piece) for name in names for piece in tensors[name].chunks(_TILES_PER_JOB)]

    def work(batch: Sequence[Job]) -> list[Sums | ModelError]:
        return [_sums_of_piece(tensors[name], piece) for name, piece in batch]

    total = sum(tensor.nbytes for inputs in stored.values() for tensor in inputs)
    done = 0
    pool = ThreadPoolExecutor(threads or processors(), "inspect")
    try:
        batches = _batches(jobs)
        for batch, results in zip(batches, pool.map(work, batches), strict=True):
            for (name, piece), result in zip(batch, results, strict=True):
                done += len(piece) * sum(BYTES_PER_ELEMENT[tensor.dtype] for tensor in stored[name])
                yield name, result
            progress(done, total, "reading")
    finally:
        pool.shutdown(cancel_futures=True)


def _batches(jobs: Sequence[Job]) -> list[list[Job]]:
    """Put small tensors together: handing them to a thread costs more than measuring them."""
    batches: list[list[Job]] = []
    room = 0
    for name, piece in jobs:
        if len(piece) > room:
            batches.append([])
            room = _TILES_PER_JOB * TILE
        batches[-1].append((name, piece))
        room -= len(piece)
    return batches


def _sums_of_piece(tensor: Tensor, piece: range) -> Sums | ModelError:
    try:
        return reduce(Sums.plus, map(sums_of, tensor.tiles(piece)))
    except ModelError as error:
        return error


def _tensor(name: str, models: Sequence[Checkpoint], has_base: bool) -> Tensor:
    sources = [model.source(at) for model, at in _inputs(models, name)]
    return Tensor(name, sources[1:], sources[0]) if has_base else Tensor(name, sources)
