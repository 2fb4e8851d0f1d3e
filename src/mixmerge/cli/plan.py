"""``mixmerge plan STUDY.yaml``."""

from pathlib import Path
from typing import Annotated

import typer


def plan(
    study: Annotated[Path, typer.Argument(help="A study file.")],
    out: Annotated[
        Path | None, typer.Option(help="The run folder; by default runs/<study>.")
    ] = None,
) -> None:
    """Show what a run would do and cost, and what is done already; run nothing.

    Needs neither network nor GPU and loads no model library.
    """
    from rich.console import Console

    from mixmerge.cli.tables import cost_lines, plan_table
    from mixmerge.study.explain import explain

    plan = explain(study, out)
    screen = Console(highlight=False)
    screen.print(plan_table(plan))
    for line in cost_lines(plan):
        screen.print(line, soft_wrap=True)
