"""``mixmerge evaluate SPEC OUT``."""

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    spec: Annotated[Path, typer.Argument(help="Study file: base, checkpoints, evaluate.")],
    out: Annotated[Path, typer.Argument(help="Run folder for answers, verdicts, results.json.")],
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Only put the judges on trial, on labelled answers.")
    ] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Cores in use; default all.")] = None,
    budget: Annotated[
        float | None, typer.Option(min=0, help="Dollars that calls to judges and models may cost.")
    ] = None,
) -> None:
    """Let models that exist answer, judge the answers, and estimate every axis with intervals.

    The file is a study that trains nothing. Called again, the command goes on where it stopped.

    With --calibrate the judges judge only the answers whose right verdict is known (section
    `calibrate` of the file) and some probes, and the judge card says what they are worth.
    """
    from mixmerge.cli.console import Console
    from mixmerge.cli.run import show
    from mixmerge.files import read_json
    from mixmerge.records.judge_card import JudgeCard
    from mixmerge.reporting.terminal import trial_table
    from mixmerge.study.run import prepare_evaluation
    from mixmerge.study.steps.calibrate import CARD

    screen = Console(highlight=False)
    prepared = prepare_evaluation(spec, out, calibrate=calibrate, budget=budget)
    show(prepared, workers=workers)
    if calibrate:
        card = JudgeCard.model_validate(read_json(out / CARD))
        screen.print(trial_table(card))
        for warning in card.warnings:
            screen.print(f"- {warning}", style="yellow", markup=False)
    if (out / CARD).is_file():
        screen.print(f"judge card: {out / CARD}", markup=False, soft_wrap=True)
