"""Quotas: how many rows there are to be of each language, category, or of any other field.

Quotas are whole numbers by largest remainder (`mixmerge.mixing.apportion`), so that they sum to the
size exactly. A cell is one value of each field, such as Hindi and violence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import prod
from typing import Annotated, Self

from pydantic import Field, model_validator

from mixmerge.fingerprint import fingerprint
from mixmerge.mixing.apportion import apportion, largest_remainder
from mixmerge.spec_model import SpecModel
from mixmerge.synthesis.row import Row

Cell = tuple[str, ...]
"""One value of each field, in the order of the fields."""

NONE = "none"
"""The value of a row that does not have the field."""

_MOST_CELLS = 100_000

Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class QuotaSpec(SpecModel):
    """How many rows there are to be, and their shares by value of some fields."""

    size: int = Field(ge=1)
    """Rows in all."""
    shares: dict[str, list[str] | dict[str, Share]] = Field(min_length=1)
    """By field, its values with equal shares or with a share each: ``{language: [en, hi],
    category: {violence: 2, fraud: 1}}``. A field is ``language``, ``category``, one of the
    provenance (``source``, ``seed``, ``licence``, ``translated``), or a parameter of the step that
    made the row (``style``). Shares need not sum to one; rows with other values are left out."""

    @model_validator(mode="after")
    def _can_be_filled(self) -> Self:
        for name, values in self.shares.items():
            if not values or len({*values}) < len(values):
                raise ValueError(f"`shares`, `{name}`: different values are required, at least one")
            if isinstance(values, dict) and not sum(values.values()) > 0:
                raise ValueError(f"`shares`, `{name}`: at least one share must be positive")
        if (cells := prod(map(len, self.shares.values()))) > _MOST_CELLS:
            raise ValueError(f"`shares` have {cells:,} cells; at most {_MOST_CELLS:,} are counted")
        return self

    @cached_property
    def cells(self) -> dict[Cell, int]:
        """The rows that there are to be in each cell; they sum to `size`."""
        weights = [
            values if isinstance(values, dict) else dict.fromkeys(values, 1.0)
            for values in self.shares.values()
        ]
        if len(weights) == 2:
            return dict(apportion(self.size, *weights).items())
        listed = {
            cell: prod(own[value] for own, value in zip(weights, cell, strict=True))
            for cell in product(*weights)
        }
        names = {str(number): cell for number, cell in enumerate(listed)}
        counts = largest_remainder({n: listed[cell] for n, cell in names.items()}, self.size)
        return {cell: counts[n] for n, cell in names.items()}

    def cell_of(self, row: Row) -> Cell:
        """Return the cell of a row, which may be one without a quota."""
        return tuple(value_of(row, name) for name in self.shares)


def value_of(row: Row, name: str) -> str:
    """Return the value of a field of a row; `NONE` if it has no such field.

    A parameter is that of the last step which has one of this name.
    """
    if name in ("language", "category"):
        value = getattr(row, name)
    elif name in type(row.provenance).model_fields and name != "made_by":
        value = getattr(row.provenance, name)
    else:
        steps = reversed(row.provenance.made_by)
        value = next((by.parameters[name] for by in steps if name in by.parameters), None)
    return NONE if value is None else str(value)


@dataclass(frozen=True)
class Filled:
    """The rows that fill quotas, and what is missing or left over."""

    rows: list[Row]
    short: dict[Cell, int]
    """The rows missing in each cell that could not be filled."""
    over: list[Row] = field(default_factory=list)
    """Rows beyond the quota of their cell."""
    outside: list[Row] = field(default_factory=list)
    """Rows in no cell."""

    def messages(self, quotas: QuotaSpec) -> list[str]:
        """Return a sentence about each cell that is short."""
        return [
            f"{'/'.join(cell)}: {quotas.cells[cell] - missing:,} of {quotas.cells[cell]:,} rows, "
            f"{missing:,} short"
            for cell, missing in self.short.items()
        ]


def fill(quotas: QuotaSpec, rows: Sequence[Row], seed: int = 0) -> Filled:
    """Choose rows for each cell, up to its quota.

    The choice follows from the seed and the ids of the rows, and not from their order; with more
    rows of a cell, or a larger quota, the order in which they are preferred stays the same. The
    rows chosen are in the order given.
    """
    left = dict(quotas.cells)
    chosen: set[int] = set()
    outside, over = [], []
    ranked = sorted(range(len(rows)), key=lambda place: fingerprint([seed, rows[place].id]))
    for place in ranked:
        cell = quotas.cell_of(rows[place])
        if cell not in left:
            outside.append(place)
        elif left[cell] == 0:
            over.append(place)
        else:
            left[cell] -= 1
            chosen.add(place)
    return Filled(
        rows=[row for place, row in enumerate(rows) if place in chosen],
        short={cell: missing for cell, missing in left.items() if missing},
        over=[rows[place] for place in sorted(over)],
        outside=[rows[place] for place in sorted(outside)],
    )
