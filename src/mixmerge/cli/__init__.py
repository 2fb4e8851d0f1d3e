"""The command line: one file per command, each a thin layer over the function of the same name."""

from typing import Annotated

import typer

Seed = Annotated[
    int | None, typer.Option(min=0, max=2**32 - 1, help="Instead of the study file's seed.")
]
"""An option that every command of a study has."""
