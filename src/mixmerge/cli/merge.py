"""``mixmerge merge RECIPE.yml OUT``."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from mixmerge.merge.plan import MergePlan, Row

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


def merge(
    recipe: Annotated[Path, typer.Argument(help="A mergekit YAML file.")],
    out: Annotated[Path, typer.Argument(help="Folder for the merged model.")],
    seed: Annotated[int, typer.Option(help="Of the random methods (DARE, DELLA).")] = 0,
    threads: Annotated[
        int | None, typer.Option(help="By default one per core; the bytes do not depend on it.")
    ] = None,
    shard_size: Annotated[
        str, typer.Option(help="Most bytes per weight file, for example 500MB or 5GB.")
    ] = "5GB",
    verify: Annotated[
        bool, typer.Option("--verify", help="Read what was written again, from the disk.")
    ] = False,
    allow_pickle: Annotated[
        bool,
        typer.Option("--allow-pickle", help="Also read .bin and .pt weights (data only, no code)."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would become of every tensor.")
    ] = False,
) -> None:
    """Merge checkpoints; reads mergekit's YAML.

    Everything that headers and configurations can tell is checked before a weight is read. The
    model appears under OUT when it is whole; the same command after an interruption goes on from
    the last file that was.
    """
    from mixmerge.cli.screen import bar

    size = _bytes(shard_size)
    if dry_run:
        _show_plan(recipe, allow_pickle)
        return
    from mixmerge.merge.engine import merge as run

    with bar("merge", unit="bytes") as progress:
        run(
            recipe,
            out,
            seed=seed,
            threads=threads,
            shard_size=size,
            verify=verify,
            allow_pickle=allow_pickle,
            progress=progress,
        )
    typer.echo(f"model: {out}")


def _bytes(text: str) -> int:
    """Read a size like ``5GB``, ``500MB``, ``2GiB`` or a number of bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?)?B?", text.strip().upper())
    if not found or len(found[1]) > 20:
        raise typer.BadParameter(f"{text!r:.40} is no size; write for example 500MB or 5GB.")
    return int(float(found[1]) * _UNITS[found[2] or ""])


def _show_plan(recipe: Path, allow_pickle: bool) -> None:
    from mixmerge.merge.preflight import plan_stages
    from mixmerge.merge.recipe_file import read_recipe

    screen = Console(highlight=False)
    for name, plan in plan_stages(read_recipe(recipe), allow_pickle=allow_pickle).items():
        screen.print(_plan_table(plan, name))
        for note in plan.notes:
            screen.print(f"note: {note}", markup=False, soft_wrap=True, style="dim")
        screen.print(f"{len(plan.rows)} tensors, {plan.nbytes / 1e9:.2f} GB; nothing was written.")


def _plan_table(plan: "MergePlan", stage: str) -> Table:
    """Return one line per tensor of the output: what it is, from what, and how."""
    title = f"{stage or 'result'}: {plan.recipe.method}"
    table = Table(title=Text(title), title_justify="left")
    for heading in ("Tensor", "Type", "Shape", "From", "How"):
        table.add_column(heading, overflow="fold")
    for row in plan.rows:
        shape = " × ".join(map(str, row.output.shape)) or "scalar"
        names = Text("\n".join(source.name for source in row.inputs))
        table.add_row(Text(row.output.name), row.output.dtype, shape, names, Text(_how(row)))
    return table


def _how(row: "Row") -> str:
    if row.arguments is None:
        return "copied"
    return "\n".join(
        f"{name.rstrip('_')}: {_shown(value)}" for name, value in row.arguments.items()
    )


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
