"""``mixmerge compare RUN...``: is one model better than another, by the logs that exist?"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mixmerge.cli.console import Console

if TYPE_CHECKING:
    from rich.table import Table

    from mixmerge.comparison.result import Comparisons, Pair, TaskInfo

_NOTES = 10
_STYLES = {"better": "green", "worse": "red", "undecided": "yellow"}
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
        language=language, epoch=epoch, page=page, seed=seed,
    )  # fmt: skip
    if json:
        typer.echo(found.model_dump_json(indent=2))
        return
    screen = Console(highlight=False)
    for table in _tables(found):
        screen.print(table)
    for note in found.notes[:_NOTES]:
        screen.print(f"note: {note}", markup=False, soft_wrap=True, style="dim")
    if len(found.notes) > _NOTES:
        screen.print(f"and {len(found.notes) - _NOTES} more notes (--json)", style="dim")
    for line in _summary(found):
        screen.print(line, markup=False, soft_wrap=True)
    if page is not None:
        screen.print(f"page: {page}", markup=False, soft_wrap=True)


def _tables(found: "Comparisons") -> "Iterator[Table]":
    """Yield a table for each task."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mixmerge.reporting import formats

    clustered = any(pair.n < pair.items for pair in found.contrasts)
    for task, info in found.tasks.items():
        percent = " in %" * (info.unit == "percent")
        title = f"{task}: {info.title}{percent}, {formats.better(info)}"
        title += "; items (clusters)" * clustered
        table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD,
                      padding=(0, 1, 0, 0), pad_edge=False)  # fmt: skip
        table.add_column("Model", overflow="fold", min_width=6)
        table.add_column("Mean", justify="right", no_wrap=True)
        table.add_column(Text(found.baseline), justify="right", overflow="fold", min_width=5)
        for heading in ("Diff.", "95% interval", "p", "adj. p", "Items"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("Verdict", no_wrap=True)
        for pair in found.contrasts:
            if pair.axis == task:
                table.add_row(
                    Text(pair.a),
                    *(_mean(info, value) for value in (pair.value_a, pair.value_b)),
                    formats.difference(info, pair.difference),
                    _interval(info, pair),
                    *map(_p, (pair.p, pair.p_adjusted)),
                    formats.count(pair.items) + f"\n({formats.count(pair.n)})" * clustered,
                    Text(_verdict(pair), style=_STYLES[pair.verdict]),
                )
        yield table


def _verdict(pair: "Pair") -> str:
    from mixmerge.reporting import formats

    return f"needs {formats.count(pair.needed)}" if pair.needed else pair.verdict


def _mean(info: "TaskInfo", value: float) -> str:
    from mixmerge.reporting import formats

    return formats.bare_percent(value) if info.unit == "percent" else formats.value(info, value)


def _interval(info: "TaskInfo", pair: "Pair") -> str:
    from mixmerge.reporting import formats

    ends = ", ".join(formats.difference(info, end) for end in pair.ci or ())
    return f"[{ends}]" if ends else "too few"


def _p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _summary(found: "Comparisons") -> list[str]:
    """Return a sentence for each of a few comparisons, of many the numbers of verdicts."""
    from collections import Counter

    if len(found.contrasts) <= 4:
        return [_sentence(found, pair) for pair in found.contrasts]
    counts: Counter[str] = Counter(pair.verdict for pair in found.contrasts)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in _STYLES if counts[verdict])
    return [f"{len(found.contrasts)} comparisons with {found.baseline}: {told}."]


def _sentence(found: "Comparisons", pair: "Pair") -> str:
    from mixmerge.reporting import formats

    info = found.tasks[pair.axis]
    by = formats.difference_in_words(info, pair.difference)
    if pair.verdict != "undecided":
        return f"{pair.a} is {pair.verdict} than {pair.b} on {pair.axis}: {by}."
    if not pair.difference:
        return f"{pair.axis}: {pair.a} and {pair.b} have the same mean."
    needed = formats.count(pair.needed or 0)
    return (
        f"{pair.axis}: it is open whether {pair.a} or {pair.b} is better ({by}); to show such a "
        f"difference in 4 of 5 cases takes about {needed} items."
    )
