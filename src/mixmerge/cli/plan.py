"""``mixmerge plan STUDY.yaml``."""

from pathlib import Path
from typing import Annotated

import typer


def plan(
    study: Annotated[Path, typer.Argument(help="A study file.")],
    out: Annotated[
        Path | None, typer.Option(help="The run folder; by default runs/<study>.")
    ] = None,
    graph: Annotated[
        bool, typer.Option("--graph", help="Draw the graph, and write it to graph.mmd (Mermaid).")
    ] = False,
) -> None:
    """Show what a run would do and cost, and what is done already; run nothing.

    Needs neither network nor GPU and loads no model library.
    """
    from rich.console import Console

    from mixmerge.cli.tables import cost_lines, plan_table
    from mixmerge.study.explain import explain

    plan = explain(study, out)
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
