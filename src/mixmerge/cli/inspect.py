"""``mixmerge inspect MODEL...``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

_SHOWN = 10


def inspect(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="Model folders.")],
) -> int:
    """Show what models hold, and say why they cannot be merged, if they cannot.

    Reads headers and configurations only. The exit code is 2 when the models do not fit together.
    """
    from mixmerge.cli.tables import inspection_table
    from mixmerge.merge.inspect import inspect as run

    inspection = run(models)
    screen = Console(highlight=False)
    screen.print(inspection_table(inspection))
    _print_first(screen, "note", inspection.notes, "dim")
    _print_first(screen, "cannot merge", inspection.problems, "red")
    if len(models) > 1 and inspection.compatible:
        screen.print("These models can be merged.")
    return 0 if inspection.compatible else 2


def _print_first(screen: Console, what: str, lines: tuple[str, ...], style: str) -> None:
    """Print the first lines, and how many more there are."""
    for line in lines[:_SHOWN]:
        screen.print(f"{what}: {line}", markup=False, soft_wrap=True, style=style)
    if len(lines) > _SHOWN:
        screen.print(f"{what}: and {len(lines) - _SHOWN} more", style=style)
