"""``mixmerge status``: the state of a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from mixmerge.cli.console import Console

if TYPE_CHECKING:
    from mixmerge.execution.status import StepStatus


def status(folder: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Show the state of a run, live or dead: what is running, what failed, what is left."""
    from mixmerge.cli.screen import log_tail, spent_so_far
    from mixmerge.execution.status import STATUS, counted, status, waiting_for

    found = status(folder)
    screen = Console(highlight=False)
    line = f"{folder}: {found.state}; {counted(found.counts)}."
    screen.print(line, markup=False, soft_wrap=True)
    whose = "by" if found.state in ("running", "stopping") else "last by"
    screen.print(f"{whose} {found.owner}; updated {found.updated}", markup=False, soft_wrap=True)
    if said := spent_so_far(folder):
        screen.print(said, soft_wrap=True)
    shown = [s for s in found.steps if s.state in ("running", "failed")]
    shown += [s for s in found.steps if s.state == "waiting" and s.message]
    if shown:
        screen.print(step_table(shown))
    for said in waiting_for(found.waits):
        screen.print(said, style="yellow", markup=False, soft_wrap=True)
    for step in found.steps:
        if step.state == "failed" and step.folder is not None:
            screen.print(f"\n{step.step}: the end of its log", markup=False)
            for line in log_tail(step.folder, 10):
                screen.print(f"  │ {line}", markup=False, soft_wrap=True)
            screen.print(f"  alone: mixmerge step {step.folder}", markup=False, soft_wrap=True)
    if found.state == "dead":
        screen.print("Its driver was killed; run the same command again to continue.")
    screen.print(f"for other tools: {folder / STATUS}", markup=False, soft_wrap=True)


def step_table(steps: "Sequence[StepStatus]") -> Table:
    """Return one line per step of a run: its state, its progress, its error."""
    table = Table()
    for heading in ("Step", "State", "How far", ""):
        table.add_column(heading, overflow="fold")
    for step in steps:
        far = f"{step.done / step.total:.0%}" if step.done is not None and step.total else ""
        table.add_row(step.step, step.state, far, Text(step.message or step.what))
    return table
