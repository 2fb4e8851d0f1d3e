"""``mixmerge step FOLDER``: run one step of a run folder, as every engine does."""

from pathlib import Path
from typing import Annotated

import typer


def step(
    folder: Annotated[Path, typer.Argument(help="A step's folder, with its step.json.")],
) -> int:
    """Run one step of a run folder alone, with its output on the screen."""
    from mixmerge.execution.worker import run_step
    from mixmerge.study.steps import HANDLERS

    return run_step(folder, HANDLERS)
