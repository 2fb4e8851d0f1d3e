"""``mixmerge plan STUDY.yaml``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from mixmerge.cli import RunFolder, Seed

if TYPE_CHECKING:
    from mixmerge.study.explain import Explained

_STYLES = {"done": "green", "to do": "", "out of date": "yellow"}


def plan(
    study: Annotated[Path, typer.Argument(help="A study file.")],
    out: RunFolder = None,
    seed: Seed = None,
    graph: Annotated[
        bool, typer.Option("--graph", help="Draw the graph, and write it to graph.mmd (Mermaid).")
    ] = False,
) -> None:
    """Show what a run would do and cost, and what is done already; run nothing.

    Needs neither network nor GPU and loads no model library.
    """
    from mixmerge.cli.console import Console
    from mixmerge.study.explain import explain

    plan = explain(study, out, seed=seed)
    screen = Console(highlight=False)
    if graph:
        from mixmerge.files import write_text
        from mixmerge.study.graph import mermaid, tree

        screen.print(tree(plan), markup=False, soft_wrap=True, end="")
        write_text(plan.root / "graph.mmd", mermaid(plan))
        screen.print(f"graph: {plan.root / 'graph.mmd'}", soft_wrap=True)
        return
    screen.print(plan_table(plan))
    for line in cost_lines(plan):
        screen.print(line, soft_wrap=True)


def plan_table(plan: "Explained") -> Table:
    """Return one line per step: its state, what it builds on, its cost."""
    table = Table(title=Text(f"{plan.study}: {len(plan.rows)} steps"), title_justify="left")
    for heading in ("Step", "State", "Builds on", "What it takes"):
        table.add_column(heading, overflow="fold")
    for row in plan.rows:
        state = f"{row.state}: {row.reason}" if row.reason else row.state
        parents = row.parents
        shown = ", ".join(parents) if len(parents) <= 4 else f"{len(parents)} steps"
        table.add_row(row.step, Text(state, style=_STYLES[row.state]), Text(shown), Text(row.cost))
    return table


def cost_lines(plan: "Explained") -> list[str]:
    """Return the totals, one sentence each."""
    from mixmerge.cli.screen import duration

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
        lines.append(_calls(plan))
    if plan.seconds is not None and todo:
        lines.append(f"Time: about {duration(plan.seconds)} of one core, from steps done before.")
    return lines


def _disk(plan: "Explained") -> str:
    free = f"{plan.free_bytes / 1e9:.1f} GB free"
    if plan.disk_bytes is None:
        return f"Disk: unknown until the base model is here, a copy of it a checkpoint; {free}."
    short = " NOT ENOUGH" if plan.disk_bytes > plan.free_bytes else ""
    return f"Disk: about {plan.disk_bytes / 1e9:.2f} GB of model weights; {free}.{short}"


def _calls(plan: "Explained") -> str:
    calls = plan.calls
    count = "unknown until the prompts are here" if calls.count is None else f"{calls.count:,}"
    price = "" if calls.dollars is None else f", at most about ${calls.dollars:,.2f}"
    return f"Judge calls ({', '.join(calls.models)}): {count}{price}."
