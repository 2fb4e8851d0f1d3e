"""Embeddings and heads with rows in the order of another vocabulary.

`row_maps` finds the source of each output row from token ids alone; `RowsSource` reads a tensor
accordingly. Only row numbers are held in memory, never rows.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mixmerge.merging.kernels import Array
from mixmerge.merging.models.sources import Source

ZERO, MEAN, PADDING = -1, -2, -3
"""Origins other than a model: zeros; the mean of the models that have the token; the mean of all
tokens, for rows without a token."""

_AT_ONCE = 1 << 20
"""Elements read at a time for the mean of all rows."""

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Donor:
    """A row set by the recipe: one model's, or zeros."""

    model: int
    """Index of the model among the inputs, or `ZERO`."""
    row: int
    force: bool
    """Whether models that have the token get this row as well."""


@dataclass(frozen=True)
class RowMap:
    """The source of each output row, for one model."""

    origin: Ids
    """Shape (rows,): index of the model among the inputs, or `ZERO`, `MEAN` or `PADDING`."""
    row: Ids
    """Shape (rows,): the row in that model; without a model, the row itself."""
    own: Ids
    """Shape (models, rows): each model's own row, or -1; for means."""

    def keeps(self, model: int, rows: int) -> bool:
        """Whether a model's tensor with ``rows`` rows is unchanged."""
        return (
            rows == len(self.row)
            and bool(np.all(self.origin == model))
            and bool(np.all(self.row == np.arange(rows)))
        )


def row_maps(
    tokens: Mapping[str, int],
    rows: int,
    models: Sequence[tuple[Mapping[str, int], int]],
    base: int | None,
    given: Mapping[int, Donor],
) -> list[RowMap]:
    """Find the source of every output row for every model.

    A model's own row comes first. For a token that a model lacks, in this order: the row set by the
    recipe; the row of the only model that has the token; the base's row; the mean of the models
    that have it; zeros.

    Args:
        tokens: the output's ids by token.
        rows: the output's number of rows; those without a token get the mean of all tokens.
        models: each input's ids by token and number of rows; higher ids are ignored.
        base: index of the base among the inputs.
        given: rows set by the recipe, by id in the output.
    """
    ids = np.fromiter(tokens.values(), np.int64, len(tokens))
    own = np.full((len(models), rows), -1, np.int64)
    for number, (known, count) in enumerate(models):
        places = np.fromiter((known.get(token, -1) for token in tokens), np.int64, len(tokens))
        own[number, ids] = np.where(places < count, places, -1)
    origin, row = _defaults(own, ids, base, given)
    forced = np.zeros(rows, bool)
    forced[[number for number, donor in given.items() if donor.force]] = True
    maps = []
    for number in range(len(models)):
        keeps = (own[number] >= 0) & ~forced
        maps.append(RowMap(np.where(keeps, number, origin), np.where(keeps, own[number], row), own))
    return maps


def _defaults(own: Ids, ids: Ids, base: int | None, given: Mapping[int, Donor]) -> tuple[Ids, Ids]:
    """Return origin and row for models that lack a token, by output row."""
    has = own >= 0
    count = has.sum(axis=0)
    origin = np.full(own.shape[1], PADDING, np.int64)
    origin[ids] = MEAN
    if base is not None:
        origin[has[base]] = base
    alone = count == 1
    origin[alone] = has.argmax(axis=0)[alone]
    origin[ids[count[ids] == 0]] = ZERO
    numbers = np.arange(own.shape[1])
    row = np.where(origin >= 0, own[np.maximum(origin, 0), numbers], numbers)
    for number, donor in given.items():
        origin[number] = donor.model
        row[number] = donor.row if donor.model >= 0 else number
    return origin, row


class RowsSource:
    """A model's tensor with rows reordered by a `RowMap`."""

    def __init__(self, inputs: Sequence[Source], model: int, rows: RowMap, axis: int = 0) -> None:
        """Take the tensor of every model, in the map's order; ``model`` is the one to reorder.

        ``axis`` is the dimension of the tokens; those before it have size one.
        """
        self.inputs, self.rows = inputs, rows
        self.name = f"{inputs[model].name} (aligned to the output's tokens)"
        self.dtype = inputs[model].dtype
        shape = inputs[model].shape
        self._row = shape[axis + 1 :]
        self.shape = (*shape[:axis], len(rows.row), *self._row)
        self.by_row = len(self._row) > 0  # a bias has rows of one element

    def read(self, start: int, out: Array) -> None:
        """Fill ``out`` with whole rows, from element ``start`` on; see `Source.read`."""
        width = math.prod(self._row)
        self._read_rows(start // width, out.reshape(-1, width))

    def _read_rows(self, first: int, out: Array) -> None:
        part = slice(first, first + len(out))
        origin, row = self.rows.origin[part], self.rows.row[part]
        for begin, end in _runs(origin, row):
            target = out[begin:end]
            if origin[begin] >= 0:
                source = self.inputs[origin[begin]]
                source.read(int(row[begin]) * out.shape[1], target.reshape(-1))
            elif origin[begin] == MEAN:
                for number, mean in enumerate(target, first + begin):
                    mean[:] = self._mean_of_models(number, out.shape[1])
            else:
                target[:] = self._padding if origin[begin] == PADDING else 0

    def _mean_of_models(self, number: int, width: int) -> Array:
        """Return the mean row of the models that have a token, summed in float64."""
        column = self.rows.own[:, number]
        total = np.zeros(width, np.float64)
        values = np.empty(width, np.float32)
        for source, row in zip(self.inputs, column, strict=True):
            if row >= 0:
                source.read(int(row) * width, values)
                total += values
        return (total / np.count_nonzero(column >= 0)).astype(np.float32)

    @cached_property
    def _padding(self) -> Array:
        """Return the mean row of all tokens, summed in float64."""
        width = math.prod(self._row)
        tokens = np.flatnonzero(self.rows.origin != PADDING)
        edges = np.flatnonzero(np.diff(tokens) != 1) + 1
        total = np.zeros(width, np.float64)
        for run in np.split(tokens, edges):
            step = max(1, _AT_ONCE // width)
            for first in range(int(run[0]), int(run[-1]) + 1, step):
                values = np.empty((min(step, int(run[-1]) + 1 - first), width), np.float32)
                self._read_rows(first, values)
                total += values.sum(axis=0, dtype=np.float64)
        return (total / len(tokens)).astype(np.float32)


def first_rows(sources: Sequence[Source]) -> tuple[Source, ...]:
    """Return one tensor of several models, each cut to the fewest rows of any."""
    fewest = min(source.shape[0] for source in sources)
    rows = np.arange(fewest)
    own = RowMap(np.zeros(fewest, np.int64), rows, rows[np.newaxis])
    return tuple(
        source if source.shape[0] == fewest else RowsSource([source], 0, own) for source in sources
    )


def _runs(origin: Ids, row: Ids) -> Iterator[tuple[int, int]]:
    """Yield (begin, end) of runs of consecutive rows from one source."""
    breaks = (origin[1:] != origin[:-1]) | (row[1:] != row[:-1] + 1)
    edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(row)]
    yield from pairwise(edges)
