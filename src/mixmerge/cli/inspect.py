"""``mixmerge inspect MODEL...``."""

from pathlib import Path
from typing import Annotated

import typer


def inspect(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="Model folders.")],
) -> int:
    """Show what models hold, and say why they cannot be merged, if they cannot.

    Reads headers and configurations only. The exit code is 2 when the models do not fit together.
    """
    from rich.console import Console

    from mixmerge.cli.tables import inspection_table
    from mixmerge.merge.inspect import inspect as run

    inspection = run(models)
    screen = Console(highlight=False)
    screen.print(inspection_table(inspection))
    for note in inspection.notes:
        screen.print(f"note: {note}", markup=False, soft_wrap=True)
    for problem in inspection.problems:
        screen.print(f"cannot merge: {problem}", markup=False, soft_wrap=True, style="red")
    if len(models) > 1 and inspection.compatible:
        screen.print("These models can be merged.")
    return 0 if inspection.compatible else 2
