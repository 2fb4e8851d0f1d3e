"""``mixmerge train SPEC OUT``."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    spec: Annotated[Path, typer.Argument(help="YAML file: model, rows, settings, placement.")],
    out: Annotated[Path, typer.Argument(help="Folder for model/, curve.jsonl and report.json.")],
) -> None:
    """Train one checkpoint by SFT or DPO; a killed training goes on when called again.

    With `placement: {devices: N}` it starts N processes through torchrun; the global batch, and so
    the model, stays the same.
    """
    from mixmerge.cli.screen import bar, duration
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
