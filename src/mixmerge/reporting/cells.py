"""Tables that keep their numbers, and are written as CSV, Markdown and HTML."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from mixmerge.records.results import AxisInfo, Interval
from mixmerge.reporting import formats

Item = TypeVar("Item")
_RUN = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""First characters of a formula in common spreadsheets."""


@dataclass(frozen=True)
class Cell:
    """One value with its displayed text; numbers keep full precision for CSV."""

    text: str
    value: str | float | None = None
    ci: tuple[float, float] | None = None
    interval: str = ""
    """``ci`` as text."""
    emphasis: bool = False
    """Shown in bold: the best of its column."""


@dataclass(frozen=True)
class Column:
    """One column: ``key`` is its name in CSV, ``title`` its heading elsewhere."""

    key: str
    title: str
    numeric: bool = True
    with_ci: bool = False
    """CSV adds ``<key>_low`` and ``<key>_high``."""


@dataclass(frozen=True)
class Table:
    """A titled table; ``name`` is its file name without suffix."""

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    marks: tuple[str, ...] = ()
    """One word per row that the page uses as a CSS class, such as a kind of model."""


ABSENT = Cell("–")
"""A value that does not exist."""


def word(text: str, *, emphasis: bool = False) -> Cell:
    """Return a cell of text."""
    return Cell(text, text, emphasis=emphasis)


def rate(value: float | None, ci: Interval | None = None) -> Cell:
    """Return a fraction shown as percent, with its interval."""
    if value is None:
        return ABSENT
    return Cell(formats.percent(value), value, ci, formats.ends(ci, formats.bare_percent))


def gain(value: float | None, ci: Interval | None = None) -> Cell:
    """Return a difference of fractions shown in percentage points, with its interval."""
    if value is None:
        return ABSENT
    return Cell(formats.points(value), value, ci, formats.ends(ci, formats.points))


def relative(value: float | None, ci: Interval | None, *, emphasis: bool = False) -> Cell:
    """Return a change relative to the base model's value."""
    if value is None:
        return ABSENT
    return Cell(formats.change(value), value, ci, formats.ends(ci, formats.points), emphasis)


def of_axis(
    info: AxisInfo, value: float, ci: Interval | None = None, *, emphasis: bool = False
) -> Cell:
    """Return a value of an axis with its interval."""
    return Cell(formats.value(info, value), value, ci, formats.interval(info, ci), emphasis)


def difference(info: AxisInfo, found: float | None, ci: Interval | None = None) -> Cell:
    """Return a difference of two values of an axis with its interval."""
    if found is None:
        return ABSENT
    write = partial(formats.difference, info)
    return Cell(write(found), found, ci, formats.ends(ci, write))


def adjusted_p(p: float) -> Cell:
    """Return a p-value."""
    return Cell("< 0.001" if p < 0.001 else f"{p:.3f}", p)


def number(value: int | None) -> Cell:
    """Return a count."""
    return ABSENT if value is None else Cell(formats.count(value), value)


Spec = tuple[Column, Callable[[Item], Cell]]
"""A column and the function that makes its cell from an item."""


def words(key: str, title: str, of: Callable[[Item], str | Cell]) -> Spec[Item]:
    """Return a column of text."""

    def cell(item: Item) -> Cell:
        text = of(item)
        return word(text) if isinstance(text, str) else text

    return Column(key, title, numeric=False), cell


def counts(key: str, title: str, of: Callable[[Item], int | None]) -> Spec[Item]:
    """Return a column of counts."""
    return Column(key, title), lambda item: number(of(item))


def numbers(key: str, title: str, of: Callable[[Item], Cell]) -> Spec[Item]:
    """Return a column of numbers."""
    return Column(key, title), of


def estimates(key: str, title: str, of: Callable[[Item], Cell]) -> Spec[Item]:
    """Return a column of numbers with intervals."""
    return Column(key, title, with_ci=True), of


def tabulate(
    name: str,
    title: str,
    caption: str,
    items: Iterable[Item],
    columns: Iterable[Spec[Item]],
    marks: Iterable[str] = (),
) -> Table:
    """Make a table with a row for each item; columns that no row fills are left out."""
    items = list(items)
    made = [(column, [cell(item) for item in items]) for column, cell in columns]
    kept = [(column, cells) for column, cells in made if any(cell != ABSENT for cell in cells)]
    rows = tuple(zip(*(cells for _, cells in kept), strict=True))
    return Table(name, title, caption, tuple(column for column, _ in kept), rows, tuple(marks))


def to_csv(table: Table) -> str:
    """Write a table as CSV: one header line, fractions and not percent, empty where absent."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    header = []
    for column in table.columns:
        header.append(column.key)
        if column.with_ci:
            header += [f"{column.key}_low", f"{column.key}_high"]
    writer.writerow(header)
    for row in table.rows:
        writer.writerow(_csv_row(table.columns, row))
    return out.getvalue()


def _csv_row(columns: Sequence[Column], row: Sequence[Cell]) -> list[str | float | None]:
    values: list[str | float | None] = []
    for column, cell in zip(columns, row, strict=True):
        values.append(_as_text(cell.value) if isinstance(cell.value, str) else cell.value)
        if column.with_ci:
            values += cell.ci or (None, None)
    return values


def _as_text(value: str) -> str:
    """Prefix an apostrophe to text that a spreadsheet would run as a formula.

    Numbers and a minus sign alone are safe.
    """
    return f"'{value}" if value.lstrip().startswith(_RUN) and len(value) > 1 else value


def to_markdown(table: Table) -> str:
    """Write a table as Markdown with its title above and its caption below."""
    rule = ["---:" if column.numeric else "---" for column in table.columns]
    lines = [[_plain_markdown(column.title) for column in table.columns], rule]
    lines += [[_markdown_cell(cell) for cell in row] for row in table.rows]
    body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    title, caption = map(_plain_markdown, (table.title, table.caption))
    return f"## {title}\n\n{body}\n\n{caption}\n"


def _plain_markdown(text: str) -> str:
    """Escape a text for Markdown: no HTML, no link, no further cell or line."""
    line = " ".join(text.splitlines())
    html = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\|`\[\]])", r"\\\1", html)


def _markdown_cell(cell: Cell) -> str:
    text = _plain_markdown(cell.text)
    if cell.emphasis:
        text = f"**{text}**"
    return f"{text} ({cell.interval})" if cell.interval else text
