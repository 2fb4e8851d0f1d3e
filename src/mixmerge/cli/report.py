"""``mixmerge report DIR``."""

from pathlib import Path
from typing import Annotated

import typer


def report(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")]) -> None:
    """Rebuild tables, figures and report.html of a finished or unfinished run."""
    from mixmerge.cli.screen import bar
    from mixmerge.study.run import report as rebuild

    with bar("report") as progress:
        page = rebuild(folder, progress=progress)
    typer.echo(f"report: {page}")
