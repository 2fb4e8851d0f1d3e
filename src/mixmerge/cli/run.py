"""``mixmerge run STUDY.yaml``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mixmerge.cli import RunFolder, Seed

if TYPE_CHECKING:
    from mixmerge.study.run import Prepared


def run(
    study: Annotated[Path, typer.Argument(help="A study file; `mixmerge demo` shows one.")],
    out: RunFolder = None,
    engine: Annotated[str, typer.Option(help="Where steps run: {engines}.")] = "local",
    only: Annotated[
        list[str] | None, typer.Option(help="Only this step (kind/name) and what it needs.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Cores in use; by default all.")] = None,
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
    from mixmerge.reporting.terminal import result_table
    from mixmerge.reporting.verdict import conclude

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
    console.print(conclude(finished.results).headline, soft_wrap=True)
    for suspicion in finished.results.judge_warnings:
        console.print(f"- {suspicion.message}", style="yellow", markup=False, soft_wrap=True)
    console.print(f"results: {finished.results_file}", markup=False, soft_wrap=True)
    console.print(f"report:  {finished.report_file}", markup=False, soft_wrap=True)
