"""``mixmerge demo``."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/demo"),
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Instead of the study file's seed.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Cores in use; by default all.")] = None,
) -> None:
    """Answer "mix or merge?" on the embedded testbed: the whole study, in minutes, on any laptop.

    A tiny multilingual model, questions with verifiable answers and harmful requests in six
    languages; real training, merging and evaluation. Ends with the path of the report.
    """
    from mixmerge.cli.run import show_run
    from mixmerge.study.run import DEMO

    show_run(DEMO, out, seed=seed, workers=workers)
