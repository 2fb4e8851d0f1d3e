"""The commands that run a study or a part of its run: run, demo, adopt, step, report."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixmerge.cli import RunFolder, Seed

if TYPE_CHECKING:
    from mixmerge.study.run import Prepared

Workers = Annotated[int | None, typer.Option(min=1, help="Cores in use; by default all.")]


def run(
    study: Annotated[Path, typer.Argument(help="A study file; `mixmerge demo` shows one.")],
    out: RunFolder = None,
    engine: Annotated[str, typer.Option(help="Where steps run: {engines}.")] = "local",
    only: Annotated[
        list[str] | None, typer.Option(help="Only this step (kind/name) and what it needs.")
    ] = None,
    workers: Workers = None,
    seed: Seed = None,
    attempts: Annotated[
        int, typer.Option(min=1, help="Starts of a step that passing faults stop.")
    ] = 3,
    budget: Annotated[
        float | None,
        typer.Option(min=0, help="Dollars that priced endpoints may cost together, in this run."),
    ] = None,
) -> None:
    """Run a whole study; it goes on where it stopped and reuses what has not changed."""
    from mixmerge.study.run import prepare

    prepared = prepare(study, out, seed=seed, budget=budget)
    show(prepared, workers=workers, only=only, engine=engine, attempts=attempts)


def demo(
    out: Annotated[Path, typer.Option(help="The run folder.")] = Path("runs/demo"),
    seed: Seed = None,
    workers: Workers = None,
) -> None:
    """Answer "mix or merge?" on the embedded testbed: the whole study, in minutes, on any laptop.

    A tiny multilingual model, questions with verifiable answers and harmful requests in six
    languages; real training, merging and evaluation. Ends with the path of the report.
    """
    from mixmerge.study.run import DEMO, prepare

    show(prepare(DEMO, out, seed=seed), workers=workers)


def show(
    prepared: "Prepared",
    *,
    workers: int | None = None,
    only: list[str] | None = None,
    engine: str = "local",
    attempts: int = 3,
) -> None:
    """Run prepared steps with bars on the screen and the result table at the end."""
    from mixmerge.cli.console import Console
    from mixmerge.cli.screen import RunScreen
    from mixmerge.evaluation.calls.spending import spent
    from mixmerge.reporting import formats
    from mixmerge.reporting.terminal import closing, result_table

    console, workers = Console(highlight=False), workers or os.cpu_count() or 1
    try:
        with RunScreen(prepared.steps, workers, console) as screen:
            finished = prepared.run(
                screen, workers=workers, only=only, engine=engine, attempts=attempts
            )
    finally:  # a run that fails has cost what it has cost
        if dollars := spent(prepared.root):
            console.print(f"spent at endpoints: {formats.dollars(dollars)}", soft_wrap=True)
    if finished is None:
        return
    console.print(result_table(finished.results))
    for line in closing(finished.results, prepared.root):
        console.print(line, soft_wrap=True)
    console.print(f"results: {finished.results_file}", markup=False, soft_wrap=True)
    console.print(f"report:  {finished.report_file}", markup=False, soft_wrap=True)


def adopt(
    study: Annotated[Path, typer.Argument(help="A study file.")],
    checkpoint: Annotated[str, typer.Argument(help="Name of a checkpoint in the study.")],
    folder: Annotated[Path, typer.Argument(help="The model: a Hugging Face folder; is copied.")],
    out: RunFolder = None,
    seed: Seed = None,
) -> None:
    """Take in a checkpoint made elsewhere, so that a run does not make it again."""
    from mixmerge.cli.console import Console
    from mixmerge.cli.screen import RunScreen
    from mixmerge.study.adopt import adopt
    from mixmerge.study.run import prepare

    console = Console(highlight=False)
    steps = prepare(study, out, seed=seed).steps
    with RunScreen(steps, os.cpu_count() or 1, console) as screen:
        taken = adopt(study, checkpoint, folder, out, seed=seed, listener=screen)
    console.print(f"adopted: {taken}", soft_wrap=True)


def step(
    folder: Annotated[Path, typer.Argument(help="A step's folder, with its step.json.")],
) -> int:
    """Run one step of a run folder alone, with its output on the screen."""
    from mixmerge.execution.worker import run_step
    from mixmerge.study.steps import HANDLERS

    return run_step(folder, HANDLERS)


def report(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")]) -> None:
    """Rebuild tables, figures and report.html of a finished or unfinished run."""
    from mixmerge.cli.screen import bar
    from mixmerge.study.run import report as rebuild

    with bar("report") as progress:
        page = rebuild(folder, progress=progress)
    typer.echo(f"report: {page}")
