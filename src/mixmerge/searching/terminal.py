"""The front of a search as a table in the terminal."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

from mixmerge.records.results import Volume
from mixmerge.reporting import formats
from mixmerge.searching.result import Member, SearchResult


def front_table(result: SearchResult) -> Table:
    """Return the members and the models alone with their simultaneous intervals."""
    table = Table(box=box.SIMPLE_HEAD, title=f"{result.study}: the front", title_justify="left")
    table.add_column("Model")
    table.add_column("Recipe", overflow="fold")
    for axis in result.goals:
        info = result.axes[axis]
        table.add_column(f"{axis}\n{info.title}\n({formats.better(info)})", justify="right")
    table.add_column("On the front", justify="right")
    for group in (result.front, result.alone):
        for member in group:
            table.add_row(*_cells(result, member))
        table.add_section()
    return table


def closing(result: SearchResult) -> list[str]:
    """Return the sentences below the table."""
    used = result.used
    took = f"{used.answers:,} answers, {used.judge_calls:,} judge calls, ${used.dollars:.2f}"
    lines = [
        "On the prompts of `evaluate`, which chose nothing; all intervals hold together with 95 %.",
        f"Search by `{result.strategy}`: {used.candidates} candidates, {took}.",
        f"The front answered {used.answers_of_front:,} prompts more.",
    ]
    for volume, of in ((result.volume, "the front"), (result.volume_alone, "the models alone")):
        if volume is not None:
            lines.append(f"Hypervolume of {of}: {_volume(volume)}.")
    return [*lines, *result.notes]


def recipe(merge: Mapping[str, Any] | None) -> str:
    """Return a recipe on one line: ``ties a 0.3, b 0.7; density 0.5``."""
    if merge is None:
        return ""
    shown = []
    for name, own in merge["models"].items():
        weight = own.get("weight")
        told = [] if weight is None else [_number(weight)]
        told += [f"{key} {_number(v)}" for key, v in own.items() if key != "weight"]
        shown.append(" ".join([name, *told]))
    shared = [f"{key} {_number(value)}" for key, value in merge.get("parameters", {}).items()]
    return f"{merge['method']} " + "; ".join([", ".join(shown), *shared])


def _number(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "→".join(f"{each:g}" for each in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cells(result: SearchResult, member: Member) -> list[str]:
    cells = [member.name, recipe(member.merge)]
    for axis in result.goals:
        info, own = result.axes[axis], member.axes[axis]
        cells.append(f"{formats.value(info, own.value)}\n{formats.interval(info, own.ci)}")
    return [*cells, formats.percent(member.p_non_dominated, 0)]


def _volume(volume: Volume) -> str:
    if volume.ci is None:
        return f"{volume.hypervolume:.3f} (no interval: {volume.absent})"
    low, high = volume.ci
    return f"{volume.hypervolume:.3f} ({low:.3f} to {high:.3f})"
