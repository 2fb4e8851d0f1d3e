"""``mixmerge evaluate SPEC OUT``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from mixmerge.records.judge_card import JudgeCard


def evaluate(
    spec: Annotated[Path, typer.Argument(help="YAML file: languages, base, models, evaluate.")],
    out: Annotated[Path, typer.Argument(help="Folder for answers, verdicts and results.json.")],
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Only put the judges on trial, on labelled answers.")
    ] = False,
    budget: Annotated[
        float | None, typer.Option(min=0, help="Dollars that calls to judges and models may cost.")
    ] = None,
) -> None:
    """Let models answer, judge the answers, and estimate both axes with intervals.

    General quality is the win rate against the base model, safety the relative change in harmful
    answers. Called again, it goes on where it stopped.

    With --calibrate the judges judge only the answers whose right verdict is known (section
    `calibrate` of the file) and some probes, and the judge card says what they are worth.
    """
    from rich.console import Console

    from mixmerge.cli.screen import bar
    from mixmerge.reporting.terminal import result_table
    from mixmerge.study.parts import evaluate as run

    screen = Console(highlight=False)
    if calibrate:
        with bar("evaluate --calibrate") as progress:
            card = run(spec, out, calibrate=True, budget=budget, progress=progress)
        _show(screen, card)
    else:
        with bar("evaluate") as progress:
            results = run(spec, out, budget=budget, progress=progress)
        screen.print(result_table(results))
        for suspicion in results.judge_warnings:
            screen.print(f"- {suspicion.message}", style="yellow", markup=False)
        typer.echo(f"results: {out / 'results.json'}")
    if (out / "judge_card.json").is_file():
        typer.echo(f"judge card: {out / 'judge_card.json'}")


def _show(screen: "Console", card: "JudgeCard") -> None:
    from mixmerge.reporting.terminal import trial_table

    screen.print(trial_table(card))
    for warning in card.warnings:
        screen.print(f"- {warning}", style="yellow", markup=False)
