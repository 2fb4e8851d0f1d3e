"""Distances between models, measured in one pass over their weights, and how models are related.

All measurements are made from sums over elements, so each tensor is read once, a tile at a time,
and the sums of a layer are the sums of its tensors.

Training from a common start leaves weights nearly parallel: fine-tunes of one model have a cosine
above 0.99, even after reinforcement learning or much data, while independently trained models are
nearly perpendicular, even with the same architecture and data (Zeng et al. 2024, HuRef: a
human-readable fingerprint for large language models, arXiv:2312.04828). Averaging such models is
meaningless.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from itertools import combinations
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from mixmerge.errors import ModelError
from mixmerge.merging.inspection.result import (
    COUSIN,
    SIBLING,
    Comparison,
    Difference,
    Interference,
    Part,
    Relatedness,
    Relation,
)
from mixmerge.merging.kernels.linear_algebra import CONFLICT, DIFFERENCE, conflict, difference, dot
from mixmerge.merging.kernels.rounding import STORED
from mixmerge.merging.models.checkpoint import Checkpoint
from mixmerge.merging.models.layout import KINDS, kind_of, place
from mixmerge.merging.models.safetensors_io import BYTES_PER_ELEMENT
from mixmerge.merging.models.sources import Source
from mixmerge.merging.planning.compatibility import counterpart
from mixmerge.merging.streaming.tensor import TILE, Tensor, Tile
from mixmerge.merging.streaming.workers import processors
from mixmerge.progress import Progress, silent

DOT_THRESHOLD = 0.9995
"""SLERP's default: above this absolute cosine it interpolates linearly."""

Group = TypeVar("Group", bound=Hashable)

_TILES_PER_JOB = 32
_Job = tuple[str, range]
"""A tensor, and the elements to measure."""


class Sums(NamedTuple):
    """Sums over the elements of one or more tensors, as float64."""

    elements: npt.NDArray[np.float64]
    """How many; shape ()."""
    squares: npt.NDArray[np.float64]
    """Squared norm of each input, the base first; shape (inputs,)."""
    differences: npt.NDArray[np.float64]
    """Results of `difference` for every pair of inputs, in the order of ``combinations``."""
    conflicts: npt.NDArray[np.float64]
    """Results of `conflict` for every pair of task vectors; shape (0, 5) without a base."""

    def plus(self, other: "Sums") -> "Sums":
        """Return the sums over the elements of both."""
        return Sums(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def cosines(self) -> list[float | None]:
        """Return the cosine of every pair of inputs, in the order of ``combinations``."""
        norms = combinations(np.sqrt(self.squares).tolist(), 2)
        products = self.differences[:, 0].tolist()
        return [_cosine(product, *pair) for product, pair in zip(products, norms, strict=True)]


def _cosine(product: float, norm: float, other_norm: float) -> float | None:
    """Return a cosine in [-1, 1]; None if a vector is zero."""
    if not norm or not other_norm:
        return None
    return min(1.0, max(-1.0, product / norm / other_norm))


def _nothing(inputs: int, *, has_base: bool) -> Sums:
    vectors = inputs - 1 if has_base else 0
    return Sums(
        np.zeros(()),
        np.zeros(inputs),
        np.zeros((math.comb(inputs, 2), DIFFERENCE)),
        np.zeros((math.comb(vectors, 2), CONFLICT)),
    )


def _sums_of(tile: Tile) -> Sums:
    """Return a tile's sums; if it has a base, its models become task vectors."""
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


def measure(
    models: Sequence[Checkpoint],
    *,
    has_base: bool,
    threads: int | None = None,
    progress: Progress = silent,
) -> tuple[Comparison | None, list[str]]:
    """Measure the tensors that all models have in one shape, reading each once.

    With ``has_base`` the first model is the base of the others' task vectors, which are compared
    too.

    Returns:
        The comparison, None if no tensor is in common; and the problems of tensors that could not
        be read: NaN, infinity, a truncated file.

    Raises:
        ModelError: a file changed while it was read.
    """
    every = dict.fromkeys(name for model in models for name in model.tensors)
    buffers = dict.fromkeys(name for model in models for name in model.buffers)
    sources = {name: found for name in every if (found := _comparable(models, name))}
    sums = {name: _nothing(len(models), has_base=has_base) for name in sources}
    broken: dict[str, str] = {}
    for name, result in _sums(sources, has_base, threads, progress):
        if isinstance(result, ModelError):
            broken.setdefault(name, str(result))
        else:
            sums[name] = sums[name].plus(result)
    for model in models:
        model.check_unchanged()
    whole = {name: total for name, total in sums.items() if name not in broken}
    left_out = tuple(name for name in {**every, **buffers} if name not in sums)
    comparison = _comparison(models, whole, left_out, has_base=has_base) if whole else None
    return comparison, list(broken.values())


def _comparison(
    models: Sequence[Checkpoint],
    sums: Mapping[str, Sums],
    left_out: tuple[str, ...],
    *,
    has_base: bool,
) -> Comparison:
    names = [model.name for model in models]

    def part(name: str, tensors: Sequence[str]) -> Part:
        return _part(name, [sums[tensor] for tensor in tensors], names, has_base=has_base)

    stored = {name: tensor for model in models for name, tensor in model.tensors.items()}
    judged = part("judged", judged_by({name: len(stored[name].shape) for name in sums}))
    kinds, layers = _grouped(sums, kind_of), _grouped(sums, _layer)
    numbered = sorted(layer for layer in layers if layer is not None)
    return Comparison(
        whole=part("whole", list(sums)),
        kinds=tuple(part(kind, kinds[kind]) for kind in KINDS if kind in kinds),
        layers=tuple(part(f"{stack}{number}", layers[stack, number]) for stack, number in numbered),
        tensors=tuple(part(name, [name]) for name in sums),
        left_out=left_out,
        relatedness=tuple(
            _relatedness(*pair, difference.cosine)
            for pair, difference in zip(combinations(models, 2), judged.differences, strict=True)
        ),
    )


def _comparable(models: Sequence[Checkpoint], name: str) -> list[Source]:
    """Return each model's tensor for a name; nothing if they cannot be compared."""
    places = [(model, counterpart(model, name)) for model in models]
    sources = [model.source(at) for model, at in places if at is not None]
    shape = sources[0].shape
    fit = all(source.dtype in STORED and source.shape == shape for source in sources)
    return sources if len(sources) == len(models) and fit else []


def _sums(
    sources: Mapping[str, Sequence[Source]], has_base: bool, threads: int | None, progress: Progress
) -> Iterator[tuple[str, Sums | ModelError]]:
    """Yield the sums of every piece of every tensor in order, computed on several threads."""
    tensors = {
        name: Tensor(name, each[1:], each[0]) if has_base else Tensor(name, each)
        for name, each in sources.items()
    }
    widths = {name: sum(BYTES_PER_ELEMENT[s.dtype] for s in each) for name, each in sources.items()}

    def work(batch: Sequence[_Job]) -> list[Sums | ModelError]:
        return [_sums_of_piece(tensors[name], piece) for name, piece in batch]

    total = sum(widths[name] * tensor.size for name, tensor in tensors.items())
    done = 0
    pool = ThreadPoolExecutor(threads or processors(), "inspect")
    try:
        batches = _batches(
            (name, piece) for name in tensors for piece in tensors[name].chunks(_TILES_PER_JOB)
        )
        for batch, results in zip(batches, pool.map(work, batches), strict=True):
            for (name, piece), result in zip(batch, results, strict=True):
                done += len(piece) * widths[name]
                yield name, result
            progress(done, total, "reading")
    finally:
        pool.shutdown(cancel_futures=True)


def _batches(jobs: Iterable[_Job]) -> list[list[_Job]]:
    """Group small tensors: passing one to a thread costs more than measuring it."""
    batches: list[list[_Job]] = []
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
        return reduce(Sums.plus, map(_sums_of, tensor.tiles(piece)))
    except ModelError as error:
        return error


def _grouped(tensors: Iterable[str], key: Callable[[str], Group]) -> dict[Group, list[str]]:
    groups: dict[Group, list[str]] = {}
    for name in tensors:
        groups.setdefault(key(name), []).append(name)
    return groups


def _layer(tensor: str) -> tuple[str, int] | None:
    found = place(tensor)
    return found and (found.stack, found.layer)


def _part(name: str, of_tensors: Sequence[Sums], models: Sequence[str], *, has_base: bool) -> Part:
    """Measure one or more tensors as one vector."""
    total = reduce(Sums.plus, of_tensors)
    cosines = np.array([each.cosines() for each in of_tensors], np.float64)  # None becomes NaN
    straight = np.count_nonzero(np.abs(cosines) > DOT_THRESHOLD, axis=0)
    return Part(
        name=name,
        tensors=len(of_tensors),
        parameters=int(total.elements),
        differences=tuple(_differences(models, total, straight)),
        interferences=tuple(_interferences(models[1:], total)) if has_base else (),
    )


def _differences(
    models: Sequence[str], total: Sums, straight: npt.NDArray[np.int64]
) -> list[Difference]:
    elements = float(total.elements)
    norms = np.sqrt(total.squares).tolist()
    return [
        Difference(
            first=models[i],
            second=models[j],
            relative_size=_ratio(math.sqrt(square), norms[i]),
            cosine=cosine,
            changed=_ratio(changed, elements),
            straight=int(count),
        )
        for (i, j), (_, square, changed), cosine, count in zip(
            combinations(range(len(models)), 2),
            total.differences.tolist(),
            total.cosines(),
            straight,
            strict=True,
        )
    ]


def _interferences(models: Sequence[str], total: Sums) -> list[Interference]:
    # The pairs of the base with each model come first.
    norms = [math.sqrt(square) for square in total.differences[: len(models), 1]]
    return [
        Interference(
            first=models[i],
            second=models[j],
            cosine=_cosine(product, norms[i], norms[j]),
            opposed=_ratio(opposed, both),
            cancelled=1.0 - min(1.0, together / apart) if apart else None,
        )
        for (i, j), (product, both, opposed, apart, together) in zip(
            combinations(range(len(models)), 2), total.conflicts.tolist(), strict=True
        )
    ]


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def judged_by(tensors: Mapping[str, int]) -> list[str]:
    """Return the tensors whose cosine decides: the matrices of the layers.

    Norms are near one and embeddings share a mean in all models, related or not. Without such
    matrices all matrices decide, and without any all tensors. ``tensors`` are numbers of dimensions
    by name.
    """
    matrices = [name for name, dimensions in tensors.items() if dimensions > 1]
    in_layers = [name for name in matrices if place(name) and kind_of(name) != "norm"]
    return in_layers or matrices or list(tensors)


def _relatedness(first: Checkpoint, second: Checkpoint, cosine: float | None) -> Relatedness:
    relation, reason = _relation(first, second, cosine)
    return Relatedness(
        first=first.name, second=second.name, relation=relation, cosine=cosine, reason=reason
    )


def _relation(first: Checkpoint, second: Checkpoint, cosine: float | None) -> tuple[Relation, str]:
    if first.config.get("model_type") != second.config.get("model_type"):
        return "stranger", "another architecture"
    if not _fit(first, second, inner=True):
        return "stranger", "tensors of other names or shapes"
    if cosine is None or cosine < COUSIN:
        return "stranger", f"trained apart (below {COUSIN})"
    if cosine < SIBLING:
        return "cousin", f"far apart (below {SIBLING})"
    misfit = "" if _fit(first, second, inner=False) else "embedding or head do not fit"
    same = first.tokenizer_digest == second.tokenizer_digest
    if not misfit and not same and first.vocabulary != second.vocabulary:
        misfit = "other tokens"
    return (
        ("cousin", f"nearly parallel, but {misfit}") if misfit else ("sibling", "nearly parallel")
    )


def _fit(first: Checkpoint, second: Checkpoint, *, inner: bool) -> bool:
    """Whether inner tensors (or embeddings and heads) have the same shapes."""
    return all(
        _shape(first, name) == _shape(second, name)
        for name in {**first.tensors, **second.tensors}
        if (kind_of(name) not in ("embedding", "head")) == inner
    )


def _shape(model: Checkpoint, name: str) -> tuple[int, ...] | None:
    at = counterpart(model, name)
    return model.tensors[at].shape if at is not None else None
