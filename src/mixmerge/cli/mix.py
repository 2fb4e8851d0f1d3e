"""``mixmerge mix SPEC OUT``."""

from pathlib import Path
from typing import Annotated

import typer


def mix(
    spec: Annotated[Path, typer.Argument(help="YAML file: sources, shares, languages, size.")],
    out: Annotated[Path, typer.Argument(help="Folder for rows.jsonl and manifest.json.")],
) -> None:
    """Mix data at exact shares by source and language, and say what came out.

    Counts are whole rows that sum to the size asked (largest remainder), duplicates and rows that
    overlap evaluation prompts are removed and counted.
    """
    from mixmerge.cli.screen import bar
    from mixmerge.mixing.manifest import share_table, unread_notes
    from mixmerge.study.standalone import mix as run

    with bar("mix") as progress:
        manifest = run(spec, out, progress=progress)
    typer.echo(share_table(manifest))
    for note in unread_notes(manifest):
        typer.echo(f"- {note}")
    typer.echo(f"{manifest.rows:,} rows in {out / 'rows.jsonl'}")
