"""``mixmerge inspect MODEL...``: compare models without merging them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixmerge.cli import AllowPickle
from mixmerge.cli.console import Console

if TYPE_CHECKING:
    from mixmerge.merging.inspection.result import Inspection

_SHOWN = 10


def inspect(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Folders, hub names, or MODEL+ADAPTER.")
    ],
    base: Annotated[
        str | None, typer.Option(help="The model they were trained from; compares their changes.")
    ] = None,
    headers_only: Annotated[
        bool, typer.Option("--headers-only", help="Read only headers, no weights; fast.")
    ] = False,
    prompts: Annotated[
        Path | None,
        typer.Option(help="Run the models on these prompts (no labels) and compare them."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=10, help="The most prompts to read, spread over the file.")
    ] = 100,
    figure: Annotated[
        Path | None, typer.Option(help="Draw the comparison by layer: .png, .svg or .pdf.")
    ] = None,
    allow_pickle: AllowPickle = False,
    threads: Annotated[int | None, typer.Option(help="By default one per core.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON, with every tensor.")
    ] = False,
) -> int:
    """Show what models contain, how they differ, and any reason why they cannot be merged.

    The exit code is 2 when the models cannot be merged.
    """
    from mixmerge.cli.screen import bar
    from mixmerge.study.standalone import inspect as run

    with bar("inspect", unit="bytes") as progress:
        inspection = run(
            models,
            base=base,
            headers_only=headers_only,
            prompts=prompts,
            limit=limit,
            figure=figure,
            allow_pickle=allow_pickle,
            threads=threads,
            progress=progress,
        )
    if json:
        typer.echo(inspection.model_dump_json(indent=2))
        return 0 if inspection.compatible else 2

    from mixmerge.cli.tables import inspection_tables

    screen = Console(highlight=False)
    for table in inspection_tables(inspection):
        screen.print(table)
    left_out = inspection.comparison.left_out if inspection.comparison else ()
    _print_first(screen, "not compared", left_out, "dim")
    _print_first(screen, "note", inspection.notes, "dim")
    _print_first(screen, "cannot merge", inspection.problems, "red")
    if figure is not None and inspection.comparison is not None:
        screen.print(f"figure: {figure}", soft_wrap=True)
    if len(inspection.models) > 1 and inspection.compatible:
        screen.print(_conclusion(inspection))
    return 0 if inspection.compatible else 2


def _conclusion(inspection: "Inspection") -> str:
    related = inspection.comparison.relatedness if inspection.comparison else ()
    if any(each.relation == "stranger" for each in related):
        return "These models fit together, but some have nothing in common: a merge is noise."
    return "These models can be merged."


def _print_first(screen: Console, what: str, lines: tuple[str, ...], style: str) -> None:
    for line in lines[:_SHOWN]:
        screen.print(f"{what}: {line}", markup=False, soft_wrap=True, style=style)
    if len(lines) > _SHOWN:
        screen.print(f"{what}: and {len(lines) - _SHOWN} more", style=style)
