"""``mixmerge demo``."""

from pathlib import Path
from typing import Annotated

import typer

from mixmerge.cli import Seed


def demo(
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/demo"),
    seed: Seed = None,
    workers: Annotated[int | None, typer.Option(help="Cores in use; by default all.")] = None,
) -> None:
    """Answer "mix or merge?" on the embedded testbed: the whole study, in minutes, on any laptop.

    A tiny multilingual model, questions with verifiable answers and harmful requests in six
    languages; real training, merging and evaluation. Ends with the path of the report.
    """
    from mixmerge.cli.run import show
    from mixmerge.study.run import DEMO, prepare

    show(prepare(DEMO, out, seed=seed), workers=workers)
