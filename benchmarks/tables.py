"""Markdown tables of measured times."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """One timed run."""

    size: str
    method: str
    turn: int
    program: str
    """``mergekit``, ``mixmerge``, ``floor`` or ``floor with fsync``."""
    seconds: float
    cpu_seconds: float = 0.0
    model_bytes: int = 0
    """Bytes of one model, which are also those of the result."""
    peak_rss: int = 0
    peak_anonymous: int = 0
    failure: str = ""
    """What the program printed last, where it failed."""


@dataclass(frozen=True)
class Summary:
    """All turns of one size and method."""

    size: str
    method: str
    rows: Sequence[Row]

    def of(self, program: str) -> list[Row]:
        """Return a program's runs, in turn; none where one of them failed."""
        found = [row for row in self.rows if row.program == program]
        return [] if any(row.failure for row in found) else found

    def seconds(self, program: str) -> float | None:
        """Return the median time of a program."""
        found = self.of(program)
        return median(row.seconds for row in found) if found else None

    def cpu_seconds(self, program: str) -> float | None:
        """Return the median processor time of a program."""
        found = self.of(program)
        return median(row.cpu_seconds for row in found) if found else None

    def ratios(self, slower: str, faster: str) -> list[float]:
        """Return how many times longer one program took than another, turn by turn."""
        other = {row.turn: row.seconds for row in self.of(faster)}
        return [row.seconds / other[row.turn] for row in self.of(slower) if row.turn in other]

    def memory(self, program: str) -> tuple[int, int] | None:
        """Return the largest resident and the largest anonymous memory, in bytes."""
        found = self.of(program)
        if not found:
            return None
        return max(row.peak_rss for row in found), max(row.peak_anonymous for row in found)


def summaries(rows: Iterable[Row]) -> list[Summary]:
    """Group rows by size and method, in order of appearance."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.size, row.method), []).append(row)
    return [Summary(size, method, found) for (size, method), found in groups.items()]


_COLUMNS = (
    "size", "method", "mergekit, s", "mixmerge, s", "times faster", "turn by turn",
    "floor, s", "with fsync, s", "mixmerge / floor", "with fsync",
    "CPU mergekit, s", "CPU mixmerge, s", "memory mergekit, GB", "memory mixmerge, GB",
)  # fmt: skip
_HEAD = f"| {' | '.join(_COLUMNS)} |\n|---|---|" + "---:|" * (len(_COLUMNS) - 2)


def markdown(rows: Iterable[Row]) -> str:
    """Return one table: medians, the ratio of each turn, and memory as resident (anonymous)."""
    return "\n".join([_HEAD, *(_line(summary) for summary in summaries(rows))])


def ratios(rows: Iterable[Row]) -> str:
    """Return one table of how many times faster mixmerge is: a line a method, a column a size."""
    found = {
        (each.method, each.size): pairs
        for each in summaries(rows)
        if (pairs := each.ratios("mergekit", "mixmerge"))
    }
    sizes = sorted({size for _, size in found}, key=float)
    lines = [
        f"| method | {' | '.join(f'{size} billion' for size in sizes)} |",
        "|---|" + "---:|" * len(sizes),
    ]
    for method in dict.fromkeys(method for method, _ in found):
        cells = [
            f"{median(found[method, size]):.1f}×" if (method, size) in found else ""
            for size in sizes
        ]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _line(summary: Summary) -> str:
    pairs = summary.ratios("mergekit", "mixmerge")
    cells = [
        summary.size,
        summary.method,
        _time(summary, "mergekit"),
        _time(summary, "mixmerge"),
        f"**{median(pairs):.1f}**" if pairs else "",
        " ".join(f"{ratio:.1f}" for ratio in pairs),
        _time(summary, "floor"),
        _time(summary, "floor with fsync"),
        _median(summary.ratios("mixmerge", "floor")),
        _median(summary.ratios("mixmerge", "floor with fsync")),
        _number(summary.cpu_seconds("mergekit")),
        _number(summary.cpu_seconds("mixmerge")),
        _memory(summary, "mergekit"),
        _memory(summary, "mixmerge"),
    ]
    return "| " + " | ".join(cells) + " |"


def _time(summary: Summary, program: str) -> str:
    if any(row.program == program and row.failure for row in summary.rows):
        return "failed"
    return _number(summary.seconds(program))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _median(ratios: list[float]) -> str:
    return _number(median(ratios) if ratios else None)


def _memory(summary: Summary, program: str) -> str:
    found = summary.memory(program)
    return "" if found is None else f"{found[0] / 1e9:.2f} ({found[1] / 1e9:.2f})"
