"""``mixmerge merge RECIPE.yml OUT``: run a merge recipe."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from mixmerge.cli import AllowPickle
from mixmerge.cli.console import Console
from mixmerge.errors import SpecError

if TYPE_CHECKING:
    from mixmerge.merging.planning.plan import MergePlan, Row
    from mixmerge.merging.recipes.recipe import MergeRecipe

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


def merge(
    recipe: Annotated[Path, typer.Argument(help="A mergekit YAML file.")],
    out: Annotated[Path, typer.Argument(help="Folder for the merged model.")],
    seed: Annotated[int, typer.Option(help="Seed of random methods (DARE, DELLA).")] = 0,
    threads: Annotated[
        int | None, typer.Option(help="By default one per core; does not change the output.")
    ] = None,
    shard_size: Annotated[
        str, typer.Option(help="Size limit of a weight file, for example 500MB or 5GB.")
    ] = "5GB",
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Check that transformers will find every tensor, and read the files back.",
        ),
    ] = False,
    allow_pickle: AllowPickle = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Reject a recipe with parts that have no effect.")
    ] = False,
    unsafe_truncate_embeddings: Annotated[
        bool,
        typer.Option(
            "--unsafe-truncate-embeddings",
            help="Cut embeddings and heads to the fewest rows: right only for equal token ids.",
        ),
    ] = False,
    adapter: Annotated[
        str | None,
        typer.Option(
            metavar="RANK",
            help="Write a LoRA adapter of this rank, or of the rank that is `exact`; all models "
            "are adapters of one base.",
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="Where weight files are written: {helpers}. `ray`: the cluster at RAY_ADDRESS."
        ),
    ] = "local",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show how every tensor would be made.")
    ] = False,
) -> None:
    """Merge checkpoints; reads mergekit's YAML.

    Headers and configurations are checked before any weight is read. The model appears under OUT
    when it is complete; after an interruption, the same command resumes after the last complete
    file.
    """
    from mixmerge.cli.screen import bar, show_notes
    from mixmerge.execution.engines import helpers_by_name
    from mixmerge.merging.recipes.recipe_file import read_recipe, with_adapter

    size = _bytes(shard_size)
    helpers = None if dry_run else helpers_by_name(engine)
    if helpers is None and engine != "local" and not dry_run:
        raise SpecError(
            f"--engine {engine}: runs whole steps only, and cannot help with one merge; write the "
            f"merge into a study and use `mixmerge run --engine {engine}`."
        )
    read = read_recipe(recipe, strict=strict)
    if adapter is not None:
        read = with_adapter(read, int(adapter) if adapter.isdecimal() else adapter)
    if dry_run:
        _show_plan(read.truncating() if unsafe_truncate_embeddings else read, allow_pickle)
        return
    from mixmerge.merging.engine import merge as run

    with bar("merge", unit="bytes") as progress:
        notes = run(
            read,
            out,
            seed=seed,
            threads=threads,
            shard_size=size,
            verify=verify,
            allow_pickle=allow_pickle,
            unsafe_truncate_embeddings=unsafe_truncate_embeddings,
            helpers=helpers,
            progress=progress,
        )
    show_notes(notes)
    typer.echo(f"{'model' if read.adapter is None else 'adapter'}: {out}")


def _bytes(text: str) -> int:
    """Read a size like ``5GB``, ``500MB``, ``2GiB`` or a number of bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?)?B?", text.strip().upper())
    if not found or len(found[1]) > 20:
        raise typer.BadParameter(f"{text!r:.40} is not a size; write for example 500MB or 5GB.")
    return int(float(found[1]) * _UNITS[found[2] or ""])


def _show_plan(recipe: "MergeRecipe", allow_pickle: bool) -> None:
    from mixmerge.merging.adapters.merged import merged_changes
    from mixmerge.merging.engine import plan_stages
    from mixmerge.merging.planning.architecture import check_architecture

    screen = Console(highlight=False)
    for name, plan in plan_stages(recipe, allow_pickle=allow_pickle).items():
        screen.print(_plan_table(plan, name))
        for note in plan.notes:
            screen.print(f"note: {note}", markup=False, soft_wrap=True, style="dim")
        unchecked = check_architecture(plan.config, plan.outputs)
        found = f"not checked: {unchecked}" if unchecked else "transformers finds all it needs"
        size = f"{len(plan.rows)} tensors, {plan.nbytes / 1e9:.2f} GB"
        screen.print(f"{size}; {found}; nothing was written.", markup=False, soft_wrap=True)
        if recipe.adapter is not None:
            changes = merged_changes(plan, recipe.adapter.most, 0).changes
            ranks = sorted({change.rank for change in changes})
            said = f"adapter: {len(changes)} modules of rank {', '.join(map(str, ranks))}"
            screen.print(said, markup=False, soft_wrap=True)


def _plan_table(plan: "MergePlan", stage: str) -> Table:
    """Return one line per output tensor: its type and shape, its inputs, and its method.

    What is the same for all tensors is shown once, above.
    """
    merged = [row.arguments for row in plan.rows if row.arguments is not None]
    common = {
        name: value
        for name, value in (merged[0] if merged else {}).items()
        if all(arguments.get(name) == value for arguments in merged)
    }
    models = ", ".join(model.name for model in plan.checkpoints)
    title = f"{stage or 'result'}: {plan.recipe.method} of {models}\n{_shown(common)}"
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    for heading in ("Tensor", "Type", "Shape", "How"):
        table.add_column(heading, overflow="fold")
    for row in plan.rows:
        shape = " × ".join(map(str, row.output.shape)) or "scalar"
        table.add_row(Text(row.output.name), row.output.dtype, shape, Text(_how(row, common)))
    return table


def _how(row: "Row", common: Mapping[str, object]) -> str:
    """Return what differs for one tensor: its settings, and other names in the inputs."""
    if row.arguments is None:
        return "copied"
    own = {name: value for name, value in row.arguments.items() if name not in common}
    names = dict.fromkeys(source.name.partition(" of ")[0] for source in row.inputs)
    others = [f"from {name}" for name in names if name != row.output.name]
    return "\n".join(filter(None, [_shown(own), *others]))


def _shown(value: object) -> str:
    """Format settings as in a recipe, on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name.rstrip('_')}: {_shown(item)}" for name, item in value.items())
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
