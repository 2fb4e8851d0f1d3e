"""``mixmerge compare RUN...``: is one model better than another, by the logs that exist?"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from mixmerge.cli.console import Console

_NOTES = 10
_Column = Annotated[str | None, typer.Option(rich_help_panel="Columns of tables")]


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Logs of lm-eval, inspect_ai, AlpacaEval or mixmerge, or tables of scores: files, "
            "folders, or NAME=PATH.",
        ),
    ],
    baseline: Annotated[
        str | None, typer.Option(help="The model to compare with; by default the first.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Compare only this task.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="lm-eval's metric or inspect's scorer; by default the first.")
    ] = None,
    better: Annotated[
        Literal["higher", "lower"] | None,
        typer.Option(help="Which direction is good, if the logs do not say."),
    ] = None,
    bounds: Annotated[
        tuple[float, float] | None,
        typer.Option(help="The lowest and the highest possible score, if not 0 and 1."),
    ] = None,
    mismatch: Annotated[
        Literal["refuse", "common", "ignore"],
        typer.Option(
            help="If versions of a task or prompts differ: refuse, compare the common items, or "
            "compare all the same."
        ),
    ] = "refuse",
    item: _Column = None,
    model: _Column = None,
    score: _Column = None,
    task: _Column = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            rich_help_panel="Columns of tables",
            help="What several items share; also a field of lm-eval's documents, inspect's "
            "metadata.",
        ),
    ] = None,
    language: _Column = None,
    epoch: _Column = None,
    seeds: Annotated[
        bool,
        typer.Option(
            "--seeds",
            help="Logs of one model are trainings with different seeds: intervals and p-values "
            "hold for new seeds, too.",
        ),
    ] = False,
    of: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Items planned in all, of which some are there: results allow for every look at "
            "them, so you may stop when it is decided.",
        ),
    ] = None,
    looked: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Items at an earlier look; again for each."),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(help="Write a page with the items on which models differ, side by side."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of random signs.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say which models are better than a baseline, by how much, and how sure that is.

    Paired by item, with intervals that allow for clusters and epochs, and p-values adjusted for the
    number of comparisons.
    """
    from mixmerge.comparison.compare import compare as run

    found = run(
        runs, baseline=baseline, only=only or (), metric=metric, better=better, bounds=bounds,
        mismatch=mismatch, item=item, model=model, score=score, task=task, cluster=cluster,
        language=language, epoch=epoch, seeds=seeds, of=of, looked=looked or (),
        page=page, seed=seed,
    )  # fmt: skip
    if json:
        typer.echo(found.model_dump_json(indent=2))
        return
    from mixmerge.comparison.terminal import summary, tables

    screen = Console(highlight=False)
    for table in tables(found):
        screen.print(table)
    for note in found.notes[:_NOTES]:
        screen.print(f"note: {note}", markup=False, soft_wrap=True, style="dim")
    if len(found.notes) > _NOTES:
        screen.print(f"and {len(found.notes) - _NOTES} more notes (--json)", style="dim")
    for line in summary(found):
        screen.print(line, markup=False, soft_wrap=True)
    if page is not None:
        screen.print(f"page: {page}", markup=False, soft_wrap=True)
