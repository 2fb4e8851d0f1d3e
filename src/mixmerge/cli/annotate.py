"""``mixmerge annotate plan|serve|read|adjudicate``: people's labels of a run's answers."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from mixmerge.cli.console import Console
from mixmerge.cli.screen import bar, working

if TYPE_CHECKING:
    from mixmerge.study.annotate import AnnotationReport

_Folder = Annotated[Path, typer.Argument(metavar="TASK", help="A folder of `annotate plan`.")]
_People = Annotated[
    list[str] | None,
    typer.Option(help="A name or code, once for each person; NAME=ar,en if they read only it."),
]
_Files = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE]...", help="Files of labels that annotators sent back."),
]
_Run = Annotated[Path | None, typer.Option(help="The run folder, if it is no longer where it was.")]

_TOO_FEW = (
    "No interval: fewer than 15 labelled prompts are expected to differ from the rest. Label more, "
    "of fewer axes (--axis) or models (--model)."
)


def annotate_plan(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    out: Annotated[Path, typer.Argument(metavar="TASK", help="The task folder to write.")],
    annotator: _People = None,
    labels: Annotated[
        int | None, typer.Option(min=1, help="Labels to ask for in all; by default every answer.")
    ] = None,
    half_width: Annotated[
        float | None,
        typer.Option(help="In place of --labels: the fewest for rates within so many points."),
    ] = None,
    overlap: Annotated[
        float, typer.Option(help="Share of items for two or three people, to see if they agree.")
    ] = 0.2,
    axis: Annotated[list[str] | None, typer.Option(help="Only this axis.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only this model's answers.")] = None,
    language: Annotated[list[str] | None, typer.Option(help="Only this language.")] = None,
    practice: Annotated[
        Path | None, typer.Option(help="Practice items and attention checks, JSON Lines.")
    ] = None,
    guidelines: Annotated[
        Path | None, typer.Option(help="A text for the annotators, in place of ours.")
    ] = None,
    to: Annotated[
        list[str] | None, typer.Option(help="Also write the items for argilla or label_studio.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of the draw.")] = 0,
) -> None:
    """Draw answers for people to label, where labels shrink the corrected intervals most.

    Writes a page for each person, TASK/pages/NAME/index.html, without any model's name: serve it
    (`annotate serve`) or send it. The rest of TASK says which model wrote which answer: keep it.
    """
    with working("drawing"):
        from mixmerge.annotation.sizes import said
        from mixmerge.study.annotate import annotate_plan

        plan = annotate_plan(
            run, out, annotators=annotator or (), labels=labels, half_width=half_width,
            overlap=overlap, axes=axis or (), models=model or (), languages=language or (),
            practice=practice, guidelines=guidelines, to=to or (), seed=seed,
        )  # fmt: skip
    screen = Console(highlight=False)
    table = _table("Axis", "Stratum", "Prompts", "To label")
    for each in plan.strata:
        table.add_row(each.axis, each.stratum, f"{each.prompts:,}", f"{each.drawn:,}")
    screen.print(table)
    for name, half in plan.size.half_width.items():
        line = f"{name}: {plan.size.labels:,} labels are expected to give {said(half)}"
        screen.print(f"{line} ({plan.assumed[name]}).", markup=False, soft_wrap=True)
    sizes = _table("Labels", *plan.size.half_width)
    for size in plan.sizes:
        sizes.add_row(f"{size.labels:,}", *map(said, size.half_width.values()))
    screen.print(sizes)
    if None in plan.size.half_width.values():
        screen.print(_TOO_FEW, style="yellow", soft_wrap=True)
    _pages(screen, out, plan.annotators)


def annotate_adjudicate(
    task: _Folder,
    files: _Files = None,
    annotator: _People = None,
    run: _Run = None,
) -> None:
    """Give the answers on which people disagree to another person, blind to what they said.

    Adds a page to TASK for each new person, with the answers that have no majority. `annotate read`
    then counts the new labels, too. Stop `annotate serve` before, and start it again.
    """
    from mixmerge.study.annotate import annotate_adjudicate

    given = annotate_adjudicate(task, files or (), annotators=annotator or (), run=run)
    screen = Console(highlight=False)
    for name, count in given.items():
        screen.print(f"{name}: {count:,} answers without a majority", soft_wrap=True)
    _pages(screen, task, given)


def _pages(screen: Console, task: Path, names: Iterable[str]) -> None:
    for name in names:
        screen.print(f"page: {task / 'pages' / name / 'index.html'}", markup=False, soft_wrap=True)
    screen.print(f"next: mixmerge annotate serve {task}", markup=False, soft_wrap=True)


def annotate_serve(
    task: _Folder,
    host: Annotated[
        str, typer.Option(help="Another host than this machine puts a token into the links.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any free one.")] = 8765,
) -> None:
    """Serve the pages in a browser, and write each label to disk before saying that it is saved.

    Give each person the link with their name. Ctrl-C ends the server; start it again at any time.
    """
    from mixmerge.study.annotate import annotate_serve

    def started(addresses: Mapping[str, str]) -> None:
        for name, address in addresses.items():
            typer.echo(f"{name}: {address}")
        typer.echo("Ctrl-C ends.")

    annotate_serve(task, host=host, port=port, started=started)


def annotate_read(
    task: _Folder,
    files: _Files = None,
    run: _Run = None,
    report: Annotated[
        bool, typer.Option(help="Also rebuild the run's report, with the corrected rates.")
    ] = False,
) -> None:
    """Read the labels: how far people agree, who clicks through, and corrected rates.

    Writes labels.jsonl and drawn.jsonl for `calibrate`, verdicts/ for `judge: {human: …}`,
    disagreements.jsonl and annotation.json into TASK; with --report also the judge card and the
    report of the run. Labels for texts that have changed are refused.
    """
    from mixmerge.study.annotate import annotate_read

    with bar("read") as progress:
        found = annotate_read(task, files or (), run=run, report=report, progress=progress)
    screen = Console(highlight=False)
    for table in _tables(found):
        if table.row_count:
            screen.print(table)
    for each in found.annotators:
        for warning in each.warnings:
            line = f"{each.name} {warning}."
            screen.print(line, style="yellow", markup=False, soft_wrap=True)
    corrected = found.card.corrected if found.card else ()
    notes = sorted({f"{rate.axis}: {rate.note}" for rate in corrected if rate.note})
    for note in (*found.notes, *notes):
        screen.print(f"note: {note}", style="yellow", markup=False, soft_wrap=True)
    screen.print(
        f"{found.labels:,} labels; people differ on {found.disagreements:,} answers, "
        f"{found.no_majority:,} of them without a majority ({task / 'disagreements.jsonl'}).",
        markup=False,
        soft_wrap=True,
    )
    if found.no_majority:
        screen.print(f"next: mixmerge annotate adjudicate {task} --annotator NAME", markup=False)
    calibrate = f"calibrate: {{labels: {task / 'labels.jsonl'}, drawn: {task / 'drawn.jsonl'}}}"
    screen.print(f"for the study file: {calibrate}", markup=False, soft_wrap=True)


def _tables(found: "AnnotationReport") -> Sequence[Table]:
    people = _table("Annotator", "Labels", "Cannot", "Checks", "Practice", "Seconds", "Too fast")
    for each in found.annotators:
        people.add_row(
            each.name,
            f"{each.items:,}",
            f"{sum(each.cannot.values()):,}",
            each.checks,
            each.practice,
            "–" if each.median_seconds is None else f"{each.median_seconds:.0f}",
            f"{each.fast:.0%}",
        )
    agree = _table("Axis", "Agreement of", "Items", "Raw", "Alpha", "Kappa", "Prevalence")
    for pair in found.agreement:
        agree.add_row(
            pair.axis,
            pair.part,
            f"{pair.items:,}",
            f"{pair.raw:.0%}",
            "–" if pair.alpha is None else f"{pair.alpha.value:.2f}",
            "–" if pair.kappa is None else f"{pair.kappa:.2f}",
            f"{pair.prevalence:.0%}",
        )
    rates = _table("Axis", "Model", "Judge", "Corrected (PPI++)", "Rogan–Gladen", "Labelled")
    for rate in found.card.corrected if found.card else ():
        rates.add_row(
            rate.axis,
            rate.model,
            "–" if rate.raw is None else f"{100 * rate.raw:.1f} %",
            *(
                "–" if value is None else f"{100 * value.value:.1f} %{_interval(value.ci)}"
                for value in (rate.ppi, rate.rogan_gladen)
            ),
            f"{rate.labelled:,}",
        )
    return people, agree, rates


def _interval(ci: tuple[float, float] | None) -> str:
    return "" if ci is None else f" ({100 * ci[0]:.1f} to {100 * ci[1]:.1f})"


def _table(*headings: str) -> Table:
    table = Table()
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="left" if place < 2 else "right", overflow="fold")
    return table
