"""``mixmerge evaluate SPEC OUT``."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    spec: Annotated[Path, typer.Argument(help="YAML file: languages, base, models, evaluate.")],
    out: Annotated[Path, typer.Argument(help="Folder for answers, verdicts and results.json.")],
) -> None:
    """Let models answer, judge the answers, and estimate both axes with intervals.

    General quality is the win rate against the base model, safety the relative change in harmful
    answers. Called again, it goes on where it stopped.
    """
    from rich.console import Console

    from mixmerge.cli.screen import bar
    from mixmerge.report.terminal import result_table
    from mixmerge.study.parts import evaluate as run

    with bar("evaluate") as progress:
        results = run(spec, out, progress=progress)
    Console(highlight=False).print(result_table(results))
    typer.echo(f"results: {out / 'results.json'}")
