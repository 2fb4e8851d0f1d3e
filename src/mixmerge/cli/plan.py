"""The commands that only look: plan says what a run would do, status how one stands."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from mixmerge.cli import RunFolder, Seed
from mixmerge.cli.console import Console

if TYPE_CHECKING:
    from mixmerge.execution.status import StepStatus
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
    return [*lines, *plan.missing]


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


def status(folder: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Show how a run stands, live or dead: what runs now, what failed, what is left."""
    from mixmerge.cli.screen import log_tail
    from mixmerge.evaluation.calls.spending import spent
    from mixmerge.execution.status import STATUS, status
    from mixmerge.reporting import formats

    found = status(folder)
    screen = Console(highlight=False)
    counts = ", ".join(f"{number} {state}" for state, number in found.counts.items())
    line = f"{folder}: {found.state}; {len(found.steps)} steps: {counts}."
    screen.print(line, markup=False, soft_wrap=True)
    whose = "by" if found.state in ("running", "stopping") else "last by"
    screen.print(f"{whose} {found.owner}; updated {found.updated}", markup=False, soft_wrap=True)
    if dollars := spent(folder):
        screen.print(f"spent at endpoints: {formats.dollars(dollars)}", soft_wrap=True)
    shown = [s for s in found.steps if s.state in ("running", "failed") or s.message]
    if shown:
        screen.print(step_table(shown))
    for step in found.steps:
        if step.state == "failed" and step.folder is not None:
            screen.print(f"\n{step.step}: the end of its log", markup=False)
            for line in log_tail(step.folder, 10):
                screen.print(f"  │ {line}", markup=False, soft_wrap=True)
            screen.print(f"  alone: mixmerge step {step.folder}", markup=False, soft_wrap=True)
    if found.state == "dead":
        screen.print("Its driver was killed; the same command goes on from what is done.")
    screen.print(f"for other tools: {folder / STATUS}", markup=False, soft_wrap=True)


def step_table(steps: "Sequence[StepStatus]") -> Table:
    """Return one line per step of a run: its state, how far it is, what is wrong."""
    table = Table()
    for heading in ("Step", "State", "How far", ""):
        table.add_column(heading, overflow="fold")
    for step in steps:
        far = f"{step.done / step.total:.0%}" if step.done is not None and step.total else ""
        table.add_row(step.step, step.state, far, Text(step.message or step.what))
    return table
