"""One tensor of a merge, as a method sees it: a stream of tiles, with sums and ranks over them.

A tensor may be larger than memory, so a method never holds one. It asks for what it needs to know
about the whole (`Tensor.sum`, `Tensor.largest`) and returns a function of one `Tile`. Tiles have a
fixed size and sums are added in order, so results do not depend on the number of threads.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array
from mixmerge.merging.kernels.linear_algebra import row_products
from mixmerge.merging.kernels.random_drop import random_bits, stream
from mixmerge.merging.kernels.selection import (
    EVERYTHING,
    HIGH,
    LOW,
    NOTHING,
    Cut,
    Keys,
    count_high,
    count_low,
    cut_of,
    key_of,
    values_of,
)
from mixmerge.merging.models.sources import HeldSource, Source, StoredSource, scratch
from mixmerge.merging.streaming.tile import Tile

__all__ = ["TILE", "ParallelMap", "Sums", "Tensor", "Tile", "TileFunction"]

TILE = 1 << 18
"""Elements of a tile: as float32 a few fit the last-level cache, and the work on one is long enough
that threads seldom wait for each other between kernels."""
_CHUNKS_OF_RANKS = 16
_TILES_PER_CHUNK_OF_RANKS = 4
"""Each chunk has counters of its own, which cost as much to clear and add as counting a tile."""

Sums = npt.NDArray[np.float64]

_Number = TypeVar("_Number", np.float64, np.int64)

TileFunction = Callable[[Tile], Array]
"""Returns the merged elements of a tile, float32, shape (count,), contiguous."""

KeysOfTile = Callable[[Tile], Sequence[Keys]]
"""Returns keys that rank the elements of a tile, for several vectors."""


ParallelMap = Callable[[Callable[[range], Any], Iterable[range]], Iterator[Any]]
"""Like `map`, on one thread or several; results are in order."""


class Tensor:
    """The input tensors that are merged into one output tensor."""

    def __init__(
        self,
        name: str,
        models: Sequence[Source],
        base: Source | None = None,
        *,
        positions: Sequence[int] | None = None,
        seed: int = 0,
        by_row: bool = False,
        parallel_map: ParallelMap = map,
        hold: int = 0,
    ) -> None:
        """Describe a tensor; nothing is read.

        The seed and the models' positions in the recipe key the random draws. ``by_row`` asks for
        tiles of whole rows; ``hold`` is the most bytes of inputs to keep in memory between passes.
        """
        self.name = name
        self.shape = models[0].shape
        self.size = math.prod(self.shape)
        self.columns = self.shape[-1] if self.shape else 1
        self._models, self._base = list(models), base
        self._positions = range(len(models)) if positions is None else positions
        self._seed, self._parallel_map, self._hold = seed, parallel_map, hold
        self._tile = TILE
        if by_row or any(source.by_row for source in self._sources()):
            self._tile = self.columns * max(1, TILE // max(1, self.columns))

    @property
    def count(self) -> int:
        """Number of models, without the base."""
        return len(self._models)

    def chunks(self, tiles: int = 1) -> list[range]:
        """Return consecutive ranges of the tensor that may be processed in parallel."""
        step = self._tile * tiles
        return [range(start, min(start + step, self.size)) for start in range(0, self.size, step)]

    def tiles(self, chunk: range) -> Iterator[Tile]:
        """Yield a range tile by tile; each tile overwrites the one before."""
        for start in range(chunk.start, chunk.stop, self._tile):
            count = min(self._tile, chunk.stop - start)
            yield Tile(self._models, self._base, start, count, self.columns)

    def _sources(self) -> list[Source]:
        return self._models if self._base is None else [*self._models, self._base]

    def _hold_inputs(self) -> None:
        """Keep what is read from now on in memory, if it fits the allowance."""
        stored = [source for source in self._sources() if isinstance(source, StoredSource)]
        sizes = [source.tensor.nbytes for source in stored]
        if not stored or sum(sizes) > self._hold:
            return
        memory = scratch("held", sum(sizes))
        places = np.cumsum([0, *sizes])
        held = {
            id(source): HeldSource(source, memory[place : place + size])
            for source, size, place in zip(stored, sizes, places, strict=False)
        }
        self._models = [held.get(id(source), source) for source in self._models]
        self._base = held.get(id(self._base), self._base)
        self._hold = 0

    def apply(self, function: TileFunction, receive: Callable[[int, Array], None]) -> None:
        """Compute the merged tensor and pass it on in pieces: first element, elements."""

        def work(chunk: range) -> None:
            for tile in self.tiles(chunk):
                receive(tile.start, function(tile))

        for _ in self._each(work, self.chunks()):
            pass

    def _each(self, work: Callable[[range], Any], chunks: list[range]) -> Iterator[Any]:
        """ParallelMap work on chunks. What overflows is refused where the result is rounded."""
        return self._parallel_map(np.errstate(all="ignore")(work), chunks)

    def sum(self, function: Callable[[Tile], npt.ArrayLike]) -> Sums:
        """Add up what a function says of each tile, a number or an array, in float64."""
        self._hold_inputs()

        def work(chunk: range) -> Sums:
            return _added(np.array(function(tile), np.float64) for tile in self.tiles(chunk))

        return _added(self._each(work, self.chunks()))

    def products(self, vectors: Callable[[Tile], Array]) -> Sums:
        """Return the inner products of all pairs of vectors (their Gram matrix).

        Those of a tile have shape (vectors, count).
        """
        return self.sum(lambda tile: row_products(vectors(tile)[:, None])[:, :, 0])

    def random_words(self, model: int) -> npt.NDArray[np.uint32]:
        """Return what tells the random bits of one model's tensor from all others; see `stream`."""
        return stream(self._seed, self._positions[model], self.name)

    def random_bits(self, tile: Tile, model: int) -> npt.NDArray[np.uint32]:
        """Return 32 random bits for each element of a tile, shape (count,), for one model."""
        return random_bits(self.random_words(model), tile.start, tile.count)

    def largest(self, keys: KeysOfTile, counts: Sequence[int]) -> list[Cut]:
        """Find which elements have the k largest magnitudes, for each of several vectors of keys.

        ``counts`` has k for each; below 1 nothing is kept, from the tensor's size on all. Of equal
        keys the earlier elements come first.
        """
        cuts = [NOTHING if count < 1 else EVERYTHING for count in counts]
        open_vectors = [i for i, count in enumerate(counts) if 0 < count < self.size]
        found = self._cuts(keys, open_vectors, [counts[i] for i in open_vectors])
        for i, cut in zip(open_vectors, found, strict=True):
            cuts[i] = cut
        return cuts

    def ranked(self, keys: Callable[[Tile], Array], ranks: Sequence[int]) -> list[float]:
        """Return the k-th largest magnitude of one vector of keys, for several k from 1 on."""
        cuts = self._cuts(lambda tile: [keys(tile)], [0] * len(ranks), ranks)
        return [cut.key for cut in cuts]

    def _cuts(self, keys: KeysOfTile, vectors: Sequence[int], counts: Sequence[int]) -> list[Cut]:
        """Find the k largest of some vectors, possibly one vector for several k; 0 < k <= size."""
        if not vectors:
            return []
        if self.size <= self._tile:
            seen = keys(next(self.tiles(range(self.size))))
            return [
                cut_of(values_of(seen[i]), count) for i, count in zip(vectors, counts, strict=True)
            ]
        self._hold_inputs()
        tiles = -(-self.size // (self._tile * _CHUNKS_OF_RANKS))
        chunks = self.chunks(max(_TILES_PER_CHUNK_OF_RANKS, tiles))
        different = sorted(set(vectors))
        high = _added(self._count(keys, chunks, HIGH, [(i, 0) for i in different]))
        found = [
            _bin_of(high[different.index(i)], count)
            for i, count in zip(vectors, counts, strict=True)
        ]
        lanes = [(i, upper) for i, (upper, _) in zip(vectors, found, strict=True)]
        low = np.stack(list(self._count(keys, chunks, LOW, lanes)), axis=1)
        cuts = []
        for (i, upper), (_, wanted), per_chunk in zip(lanes, found, low, strict=True):
            lower, ties = _bin_of(per_chunk.sum(0), wanted)
            key = key_of(upper, lower)
            cuts.append(
                Cut(key, self._end_of_ties(keys, i, key, ties, chunks, per_chunk[:, lower]))
            )
        return cuts

    def _count(
        self, keys: KeysOfTile, chunks: list[range], bins: int, lanes: Sequence[tuple[int, int]]
    ) -> Iterator[npt.NDArray[np.int64]]:
        """Count keys by their upper bits (`HIGH`), or by their lower bits given the upper ones.

        Yields an array of shape (lanes, bins) for each chunk.
        """

        def work(chunk: range) -> npt.NDArray[np.int64]:
            counts = np.zeros((len(lanes), bins), np.int64)
            for tile in self.tiles(chunk):
                vectors = keys(tile)
                for (vector, upper), row in zip(lanes, counts, strict=True):
                    if bins == HIGH:
                        count_high(vectors[vector], row)
                    else:
                        count_low(vectors[vector], upper, row)
            return counts

        return self._each(work, chunks)

    def _end_of_ties(
        self,
        keys: KeysOfTile,
        vector: int,
        key: float,
        wanted: int,
        chunks: list[range],
        ties: npt.NDArray[np.int64],
    ) -> int:
        """Return the position after the ``wanted``-th element with this key.

        ``ties`` has their number in each chunk, so only one chunk is read again.
        """
        before = np.cumsum(ties) - ties
        place = int(np.searchsorted(before, wanted, side="left")) - 1
        if before[place] + ties[place] == wanted:
            return chunks[place].stop
        missing = wanted - int(before[place])
        for tile in self.tiles(chunks[place]):
            equal = np.flatnonzero(np.abs(values_of(keys(tile)[vector])) == np.float32(key))
            if equal.size >= missing:
                return tile.start + int(equal[missing - 1]) + 1
            missing -= equal.size
        raise AssertionError("the ties were counted in this chunk")


def _added(parts: Iterator[npt.NDArray[_Number]]) -> npt.NDArray[_Number]:
    """Add arrays in order, into the first."""
    total = next(parts)
    for part in parts:
        total += part
    return total


def _bin_of(counts: npt.NDArray[np.int64], wanted: int) -> tuple[int, int]:
    """Return the bin of the ``wanted``-th element from above, and its rank in the bin."""
    from_above = np.cumsum(counts[::-1])
    place = int(np.searchsorted(from_above, wanted))
    above = int(from_above[place - 1]) if place else 0
    return counts.size - 1 - place, wanted - above
