"""``mixmerge plan``: what a run would do, cost and be able to decide."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from mixmerge.cli import RunFolder, Seed
from mixmerge.cli.console import Console
from mixmerge.cli.power import (
    AsJson,
    Card,
    Correlation,
    Differences,
    Pilots,
    Power,
    Prompts,
    Rates,
    Seeds,
    Sensitivity,
    Specificity,
    Studies,
    Within,
    show_power,
)
from mixmerge.cli.screen import duration, working

if TYPE_CHECKING:
    from mixmerge.study.explain import Explained, KindCosts
    from mixmerge.study.judge_calls import Calls

_STYLES = {"done": "green", "to do": "", "out of date": "yellow"}
_UNKNOWN = "?"
_NONE = "–"


def plan(
    study: Annotated[Path, typer.Argument(help="A study file.")],
    out: RunFolder = None,
    seed: Seed = None,
    steps: Annotated[
        bool, typer.Option("--steps", help="List every step with its state and cost.")
    ] = False,
    graph: Annotated[
        bool, typer.Option("--graph", help="Draw the graph, and write it to graph.mmd (Mermaid).")
    ] = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe", help="Also ask every endpoint for one token, as `mixmerge run` does."
        ),
    ] = False,
    power: Power = False,
    difference: Differences = None,
    pilot: Pilots = None,
    prompts: Prompts = None,
    rate: Rates = None,
    correlation: Correlation = None,
    within: Within = None,
    judge_card: Card = None,
    sensitivity: Sensitivity = None,
    specificity: Specificity = None,
    seeds: Seeds = None,
    studies: Studies = None,
    as_json: AsJson = False,
) -> int:
    """Show what a run would do, cost and be able to decide, without running anything.

    Reads the first rows of every data file and the headers of local models. Needs no GPU and,
    except with --probe, no network; loads no model library.
    """
    options = {
        "pilots": pilot, "differences": difference, "prompts": prompts, "rates": rate,
        "correlation": correlation, "within": within, "card": judge_card, "seeds": seeds,
        "sensitivity": sensitivity, "specificity": specificity, "studies": studies,
    }  # fmt: skip
    if power or as_json or any(value is not None for value in options.values()):
        return show_power(study, out, seed, options, as_json=as_json)
    screen = Console(highlight=False)
    with working("reading the study and its files"):
        from mixmerge.study.explain import explain

        plan = explain(study, out, seed=seed, probe=probe)
    if graph:
        from mixmerge.files import write_text
        from mixmerge.study.graph import mermaid, tree

        screen.print(tree(plan), markup=False, soft_wrap=True, end="")
        write_text(plan.root / "graph.mmd", mermaid(plan))
        screen.print(f"graph: {plan.root / 'graph.mmd'}", soft_wrap=True)
        return 0
    if steps:
        screen.print(plan_table(plan))
    screen.print(summary(plan))
    return 2 if plan.errors else 0


def plan_table(plan: "Explained") -> Table:
    """Return one line per step: its state, its inputs, its cost."""
    table = Table(title=Text(f"{plan.study}: {len(plan.rows)} steps"), title_justify="left")
    for heading in ("Step", "State", "Builds on", "What it takes"):
        table.add_column(heading, overflow="fold")
    for row in plan.rows:
        state = f"{row.state}: {row.reason}" if row.reason else row.state
        parents = row.parents
        shown = ", ".join(parents) if len(parents) <= 4 else f"{len(parents)} steps"
        table.add_row(row.step, Text(state, style=_STYLES[row.state]), Text(shown), Text(row.cost))
    return table


def summary(plan: "Explained") -> Group:
    """Return the summary: a line per kind of step, totals, detectable differences, warnings."""
    lines = [Text(line) for line in [*plan.notes, *cost_lines(plan), *_decisions(plan)]]
    lines += [Text(f"! {line}", style="yellow") for line in plan.warnings]
    lines += [Text(f"✗ {line}", style="red") for line in [*plan.missing, *plan.errors]]
    if plan.missing or plan.errors:
        lines.append(Text("A run would stop before its first step.", style="red"))
    return Group(_kinds_table(plan), *lines)


def _kinds_table(plan: "Explained") -> Table:
    done = sum(row.state == "done" for row in plan.rows)
    title = f"{plan.study}: {len(plan.rows)} steps, {done} done, in {plan.root}"
    table = Table(
        title=Text(title), title_justify="left", show_footer=True, box=None, pad_edge=False
    )
    total = {
        "Steps": f"{len(plan.rows)}",
        "To do": f"{len(plan.rows) - done}",
        "Time": _time(_whole_time(plan)),
        "Memory": "",
        "Disk": _gigabytes(plan.disk_bytes),
        "Calls": _count(plan.calls) if plan.calls.models else _NONE,
        "Price": _price(plan.calls),
    }
    table.add_column("Kind", footer="all")
    for heading, footer in total.items():
        table.add_column(heading, justify="right", footer=footer)
    for kind in plan.kinds:
        table.add_row(*_cells(kind))
    return table


def _cells(kind: "KindCosts") -> Iterator[str]:
    yield kind.kind
    yield f"{kind.steps}"
    yield f"{kind.todo}" if kind.todo else "done"
    yield _time(kind.seconds) if kind.todo else _NONE
    takes_memory = kind.todo and kind.kind in ("train", "generate")
    yield _memory(kind.memory_bytes) if takes_memory else _NONE
    yield _gigabytes(kind.disk_bytes) if kind.disk_bytes != 0 else _NONE
    yield _NONE if kind.calls is None else _count(kind.calls)
    yield _NONE if kind.calls is None else _price(kind.calls)


def _time(seconds: float | None) -> str:
    return _UNKNOWN if seconds is None else duration(seconds)


def _whole_time(plan: "Explained") -> float | None:
    """Return the time of all pending steps, if that of every kind is known."""
    times = [kind.seconds for kind in plan.kinds if kind.todo]
    return sum(time for time in times if time is not None) if None not in times else None


def _memory(size: float | None) -> str:
    return _UNKNOWN if size is None else f"≥ {_gigabytes(size)}"


def _gigabytes(size: float | None) -> str:
    if size is None:
        return _UNKNOWN
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _count(calls: "Calls") -> str:
    return _UNKNOWN if calls.count is None else f"{calls.count:,}"


def _price(calls: "Calls") -> str:
    if not calls.models:
        return _NONE
    return _UNKNOWN if calls.dollars is None else f"≤ ${calls.dollars:,.2f}"


def cost_lines(plan: "Explained") -> list[str]:
    """Return notes on the table, a sentence each: the source of figures, or why there is none."""
    todo = sum(row.state != "done" for row in plan.rows)
    lines = [f"{len(plan.rows) - todo} steps are done, {todo} would run in {plan.root}."]
    if plan.training_rows:
        tokens = plan.training_tokens
        lines.append(
            f"Training: {plan.training_rows:,} rows over all epochs, about {tokens.count:,} tokens "
            f"(estimate: {tokens.rule})."
        )
    lines.append(_disk(plan))
    if plan.calls.models:
        lines.append(_calls(plan.calls))
    if todo and not plan.timed:
        lines.append("Time: unknown until one step of the study has run on this machine.")
    elif todo:
        lines.append(f"Time: {plan.timed}. Parallel steps take less.")
    if plan.by_name:
        lines.append(
            "Memory and disk: the base model is not downloaded; its size is taken from its name."
        )
    unknown = [k.kind for k in plan.kinds if k.todo and k.memory_bytes is None]
    if {"train", "generate"} & {*unknown}:
        lines.append("Memory: unknown until the base model is downloaded.")
    return lines


def _disk(plan: "Explained") -> str:
    free = f"{plan.free_bytes / 1e9:.1f} GB free"
    if plan.disk_bytes is None:
        return f"Disk: unknown until the base model, as large as each checkpoint, is here; {free}."
    short = " NOT ENOUGH" if plan.disk_bytes > plan.free_bytes else ""
    return f"Disk: about {plan.disk_bytes / 1e9:.2f} GB of model weights; {free}.{short}"


def _calls(calls: "Calls") -> str:
    count = (
        "unknown until the prompts and seeds are here"
        if calls.count is None
        else f"{calls.count:,}"
    )
    price = "" if calls.dollars is None else f", at most about ${calls.dollars:,.2f}"
    said = f"Calls ({', '.join(calls.models)}): {count}{price}."
    if calls.unpriced:
        said += (
            f" No price is given for {', '.join(calls.unpriced)}: name it as `price: {{input: …, "
            "output: …}`, in dollars per million tokens."
        )
    return said


def _decisions(plan: "Explained") -> list[str]:
    return [plan.decides_if, *(f"  {line}" for line in plan.decides)]
