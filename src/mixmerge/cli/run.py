"""The commands that run a study or change its run: run, demo, adopt, step, report."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixmerge.cli import RunFolder, Seed
from mixmerge.cli.screen import RunScreen, spent_so_far, working
from mixmerge.exporting import TARGETS

if TYPE_CHECKING:
    from mixmerge.study.run import Prepared

Probe = Annotated[
    bool,
    typer.Option(
        "--probe/--no-probe", help="Ask every endpoint for one token before long work begins."
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Most cores to use; by default all.")]


def run(
    study: Annotated[Path, typer.Argument(help="A study file; `mixmerge demo` shows one.")],
    out: RunFolder = None,
    engine: Annotated[str, typer.Option(help="Where steps run: {engines}.")] = "local",
    only: Annotated[
        list[str] | None, typer.Option(help="Run only this step (kind/name) and what it needs.")
    ] = None,
    workers: Workers = None,
    seed: Seed = None,
    attempts: Annotated[
        int, typer.Option(min=1, help="Tries of a step that fails for a transient reason.")
    ] = 3,
    budget: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Limit in dollars: one for all priced judges and models together, and as much for "
            "each source of generated data.",
        ),
    ] = None,
    probe: Probe = True,
) -> None:
    """Run a study; resumes an interrupted run and reuses steps that have not changed.

    Before training, checks keys, endpoints, data files, disk, memory and merges, and reports all
    problems at once.
    """
    with working("reading the study"):
        from mixmerge.study.run import prepare

        prepared = prepare(study, out, seed=seed, budget=budget)
    show(prepared, workers=workers, only=only, engine=engine, attempts=attempts, probe=probe)


def demo(
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/demo"),
    seed: Seed = None,
    workers: Workers = None,
) -> None:
    """Answer "mix or merge?" on the built-in testbed: a whole study, in minutes, on any laptop.

    A tiny multilingual model, questions with verifiable answers and harmful requests in six
    languages; real training, merging and evaluation. Prints the path of the report at the end.
    """
    with working("reading the study"):
        from mixmerge.study.run import DEMO, prepare

        prepared = prepare(DEMO, out, seed=seed)
    show(prepared, workers=workers)


def show(
    prepared: "Prepared",
    *,
    workers: int | None = None,
    only: list[str] | None = None,
    engine: str = "local",
    attempts: int = 3,
    probe: bool = True,
) -> None:
    """Run prepared steps with progress bars, and print the result table at the end."""
    from mixmerge.cli.console import Console
    from mixmerge.reporting.terminal import closing, result_table

    console, workers = Console(highlight=False), workers or os.cpu_count() or 1
    try:
        with RunScreen(prepared.steps, workers, console, prepared.root) as screen:
            finished = prepared.run(
                screen, workers=workers, only=only, engine=engine, attempts=attempts, probe=probe
            )
    finally:  # a failed run has spent money, too
        if said := spent_so_far(prepared.root):
            console.print(said, soft_wrap=True)
    if finished is None:
        return
    console.print(result_table(finished.results))
    for line in closing(finished.results, prepared.root):
        console.print(line, soft_wrap=True)
    console.print(f"results: {finished.results_file}", markup=False, soft_wrap=True)
    console.print(f"report:  {finished.report_file}", markup=False, soft_wrap=True)
    if finished.left_out:
        console.print(finished.left_out, markup=False, soft_wrap=True)


def adopt(
    study: Annotated[Path, typer.Argument(help="A study file.")],
    checkpoint: Annotated[str, typer.Argument(help="Name of a checkpoint in the study.")],
    folder: Annotated[Path, typer.Argument(help="The model, a Hugging Face folder; it is copied.")],
    out: RunFolder = None,
    seed: Seed = None,
) -> None:
    """Add a checkpoint made elsewhere to a run, so that the run does not make it."""
    from mixmerge.cli.console import Console
    from mixmerge.study.adopt import adopt
    from mixmerge.study.run import prepare

    console = Console(highlight=False)
    prepared = prepare(study, out, seed=seed)
    with RunScreen(prepared.steps, os.cpu_count() or 1, console, prepared.root) as screen:
        taken = adopt(study, checkpoint, folder, out, seed=seed, listener=screen)
    console.print(f"adopted: {taken}", soft_wrap=True)


def step(
    folder: Annotated[Path, typer.Argument(help="A step's folder, with its step.json.")],
) -> int:
    """Run one step of a run folder, with its output on the screen, and the rest of its group."""
    from mixmerge.execution.worker import run_group
    from mixmerge.study.steps import HANDLERS

    return run_group(folder, HANDLERS)


def report(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")]) -> None:
    """Rebuild tables, figures and report.html of a finished or unfinished run."""
    from mixmerge.cli.screen import bar
    from mixmerge.study.run import report as rebuild

    said: list[str] = []
    with bar("report") as progress:
        page = rebuild(folder, progress=progress, say=said.append)
    for sentence in said:
        typer.echo(sentence)
    typer.echo(f"report: {page}")


def export(
    run: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    out: Annotated[Path, typer.Argument(help="The folder to write into.")],
    to: Annotated[str, typer.Option(help=f"What to write: {', '.join(TARGETS)}.")],
    model: Annotated[str | None, typer.Option(help="Only this model; by default all.")] = None,
) -> None:
    """Write results and answers of a run as other tools read them.

    lm_eval and inspect write their logs, with every answer and score; model_card writes the
    results of one model for the hub, leaderboard a CSV table of all.
    """
    from mixmerge.study.export import export

    files = export(run, out, to=to, model=model)
    typer.echo(f"{len(files)} file{'s' * (len(files) != 1)} in {out}, the first: {files[0].name}")
