"""``mixmerge search``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from mixmerge.cli import Seed
from mixmerge.cli.run import Workers
from mixmerge.cli.screen import RunScreen, spent_so_far, working


def search(
    study: Annotated[Path, typer.Argument(help="A study file with a section `search`.")],
    out: Annotated[
        Path | None, typer.Argument(help="The run folder; by default runs/<study>.")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="bayes, random or grid, in place of the study's.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Also write the weights of the front's members.")
    ] = False,
    seed: Seed = None,
    workers: Workers = None,
) -> None:
    """Search among merges for the best trade-offs of several axes, under a budget.

    Hundreds of merges are tried in memory on the prompts of `selection`; the front that they make
    is measured on the prompts of `evaluate`, which chose nothing. Resumes an interrupted search.
    """
    with working("reading the study"):
        from mixmerge.searching.run import prepare_search

        prepared = prepare_search(study, out, seed=seed, strategy=strategy)
    from mixmerge.cli.console import Console
    from mixmerge.searching.terminal import closing, front_table

    console, cores = Console(highlight=False), workers or os.cpu_count() or 1
    steps, root = prepared.prepared.steps, prepared.root
    try:
        with RunScreen(steps, cores, console, root) as screen:
            found = prepared.run(
                workers=cores, write=write, listener=screen, progress=screen.show_work
            )
    finally:  # a failed search has spent money, too
        if said := spent_so_far(root):
            console.print(said, soft_wrap=True)
    console.print(front_table(found.result))
    for line in closing(found.result):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"results: {found.result_file}", markup=False, soft_wrap=True)
    console.print(f"page:    {found.page_file}", markup=False, soft_wrap=True)
    console.print(f"front:   {found.front_file}", markup=False, soft_wrap=True)
    for name, folder in found.written.items():
        console.print(f"{name}: {folder}", markup=False, soft_wrap=True)
