"""The commands that run one part of a study: mix, train, evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from mixmerge.cli.run import Probe, Workers, show
from mixmerge.cli.screen import bar, duration, working


def mix(
    spec: Annotated[Path, typer.Argument(help="YAML file: sources, shares, languages, size.")],
    out: Annotated[Path, typer.Argument(help="Folder for rows.jsonl and manifest.json.")],
) -> None:
    """Mix data at exact shares by source and language, and print what the mixture holds.

    Counts are whole rows that sum to the given size (largest remainder). Duplicates and rows that
    overlap evaluation prompts are removed and counted.
    """
    from mixmerge.mixing.manifest import reading_notes, share_table
    from mixmerge.study.standalone import mix as run

    with bar("mix") as progress:
        manifest = run(spec, out, progress=progress)
    typer.echo(share_table(manifest))
    for note in reading_notes(manifest):
        typer.echo(f"- {note}")
    typer.echo(f"{manifest.rows:,} rows in {out / 'rows.jsonl'}")


def train(
    spec: Annotated[Path, typer.Argument(help="YAML file: model, rows, settings, placement.")],
    out: Annotated[Path, typer.Argument(help="Folder for model/, curve.jsonl and report.json.")],
) -> None:
    """Train one checkpoint by SFT, DPO, KTO, …; the same command resumes a killed training.

    `placement: {devices: N}` starts N processes through torchrun; the global batch, and so the
    model, stays the same.
    """
    from mixmerge.study.standalone import train as run

    with bar("train") as progress:
        report = run(spec, out, progress=progress)
    typer.echo(
        f"{report.steps} steps, {report.tokens:,} tokens, loss {report.first_loss:.3f} → "
        f"{report.final_loss:.3f}, {duration(report.train_seconds)}"
    )
    for note in report.notes:
        typer.echo(f"- {note}")
    typer.echo(f"model: {out / 'model'}")


def evaluate(
    spec: Annotated[Path, typer.Argument(help="Study file: base, checkpoints, evaluate.")],
    out: Annotated[Path, typer.Argument(help="Run folder for answers, verdicts, results.json.")],
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Only test the judges, on labelled answers.")
    ] = False,
    workers: Workers = None,
    budget: Annotated[
        float | None, typer.Option(min=0, help="Limit in dollars on calls to judges and models.")
    ] = None,
    probe: Probe = True,
) -> None:
    """Evaluate existing models: generate answers, judge them, estimate every axis with intervals.

    The file is a study that trains nothing. The same command resumes an interrupted evaluation.

    With --calibrate the judges see only answers whose correct verdict is known (section `calibrate`
    of the file) and some probes, and the judge card shows how far to trust them.
    """
    from mixmerge.cli.console import Console
    from mixmerge.files import read_json
    from mixmerge.records.judge_card import JudgeCard
    from mixmerge.reporting.terminal import trial_table

    screen = Console(highlight=False)
    with working("reading the study"):
        from mixmerge.study.run import prepare_evaluation
        from mixmerge.study.steps.calibrate import CARD

        prepared = prepare_evaluation(spec, out, calibrate=calibrate, budget=budget)
    show(prepared, workers=workers, probe=probe)
    if calibrate:
        card = JudgeCard.model_validate(read_json(out / CARD))
        screen.print(trial_table(card))
        for warning in card.warnings:
            screen.print(f"- {warning}", style="yellow", markup=False)
    if (out / CARD).is_file():
        screen.print(f"judge card: {out / CARD}", markup=False, soft_wrap=True)
