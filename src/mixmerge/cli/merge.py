"""``mixmerge merge RECIPE.yml OUT``."""

from pathlib import Path
from typing import Annotated

import typer


def merge(
    recipe: Annotated[Path, typer.Argument(help="A mergekit YAML file.")],
    out: Annotated[Path, typer.Argument(help="Folder for the merged model.")],
    seed: Annotated[int, typer.Option(help="Of the random methods (DARE).")] = 0,
    threads: Annotated[int | None, typer.Option(help="By default one per core.")] = None,
) -> None:
    """Merge checkpoints; reads mergekit's YAML.

    Everything that headers and configurations can tell is checked before a weight is read; the
    model appears under OUT when it is whole.
    """
    from mixmerge.cli.screen import bar
    from mixmerge.study.parts import merge as run

    with bar("merge") as progress:
        run(recipe, out, seed=seed, threads=threads, progress=progress)
    typer.echo(f"model: {out}")
