"""``mixmerge extract BASE FINETUNED OUT``: an adapter from two models."""

from pathlib import Path
from typing import Annotated

import typer

from mixmerge.cli import AllowPickle


def extract(
    base: Annotated[str, typer.Argument(help="The model that was fine-tuned: folder or hub name.")],
    finetuned: Annotated[str, typer.Argument(help="The result: folder or hub name.")],
    out: Annotated[Path, typer.Argument(help="Folder for the adapter.")],
    rank: Annotated[int, typer.Option(min=1, help="Rank of the factors.")] = 32,
    module: Annotated[
        list[str] | None,
        typer.Option(help="Last word of the layers to take, such as q_proj; may be repeated."),
    ] = None,
    modules_to_save: Annotated[
        bool,
        typer.Option(
            "--modules-to-save",
            help="Also keep what else changed (norms, embeddings, biases), whole.",
        ),
    ] = False,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    threads: Annotated[int | None, typer.Option(help="By default one per core.")] = None,
    allow_pickle: AllowPickle = False,
) -> None:
    """Write the LoRA adapter that comes closest to a fine-tuned model.

    Every matrix of a linear layer gets the closest product of two factors to its change. What is
    lost is printed, and stands in OUT/mixmerge_adapter.json for each module.
    """
    from mixmerge.cli.screen import bar, show_notes
    from mixmerge.merging.adapters.extract import extract as run

    with bar("extract", unit="bytes") as progress:
        notes = run(
            base,
            finetuned,
            out,
            rank=rank,
            modules=module or (),
            modules_to_save=modules_to_save,
            dtype=dtype,
            threads=threads,
            allow_pickle=allow_pickle,
            progress=progress,
        )
    show_notes(notes)
    typer.echo(f"adapter: {out}")
