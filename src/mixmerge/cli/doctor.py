"""``mixmerge doctor``: what this machine has, and what a study needs that it lacks."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def doctor(
    study: Annotated[Path | None, typer.Argument(help="A study file to check for.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for other tools.")] = False,
) -> int:
    """Show what this machine has, and what a study needs that it lacks.

    Shows cores, memory, GPUs, disk, versions, optional extras, cluster and sandbox. The exit code
    is 2 if the study lacks something. Loads no model library.
    """
    from rich.table import Table
    from rich.text import Text

    from mixmerge.cli.console import Console
    from mixmerge.study.doctor import doctor

    found = doctor(study)
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"ready": found.ready}, indent=2))
        return 0 if found.ready else 2
    screen = Console(highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    for fact in found.facts:
        table.add_row(fact.name, Text(fact.value), Text(fact.note, style="dim"))
    screen.print(table)
    for sentence in found.warnings:
        screen.print(f"- {sentence}", style="yellow", markup=False, soft_wrap=True)
    for sentence in found.missing:
        screen.print(f"- {sentence}", style="red", markup=False, soft_wrap=True)
    if found.study is not None and found.ready:
        screen.print(f"{found.study}: nothing is missing here.", markup=False, soft_wrap=True)
    return 0 if found.ready else 2
