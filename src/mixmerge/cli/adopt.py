"""``mixmerge adopt STUDY.yaml CHECKPOINT FOLDER``."""

from pathlib import Path
from typing import Annotated

import typer

from mixmerge.cli import RunFolder, Seed


def adopt(
    study: Annotated[Path, typer.Argument(help="A study file.")],
    checkpoint: Annotated[str, typer.Argument(help="Name of a checkpoint in the study.")],
    folder: Annotated[Path, typer.Argument(help="The model: a Hugging Face folder; is copied.")],
    out: RunFolder = None,
    seed: Seed = None,
) -> None:
    """Take in a checkpoint made elsewhere, so that a run does not make it again."""
    import os

    from mixmerge.cli.console import Console
    from mixmerge.cli.screen import RunScreen
    from mixmerge.study.adopt import adopt
    from mixmerge.study.run import prepare

    console = Console(highlight=False)
    steps = prepare(study, out, seed=seed).steps
    with RunScreen(steps, os.cpu_count() or 1, console) as screen:
        taken = adopt(study, checkpoint, folder, out, seed=seed, listener=screen)
    console.print(f"adopted: {taken}", soft_wrap=True)
