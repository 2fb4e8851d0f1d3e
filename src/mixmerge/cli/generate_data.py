"""``mixmerge generate-data``: training data from seeds, by models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from mixmerge.cli.console import Console
from mixmerge.cli.screen import bar

if TYPE_CHECKING:
    from mixmerge.synthesis.report import GenerationReport, StepReport


def generate_data(
    spec: Annotated[Path, typer.Argument(help="YAML file: seeds, models, steps, filters, quotas.")],
    out: Annotated[Path, typer.Argument(help="Folder for rows.jsonl, dropped.jsonl, report.json.")],
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Count calls and their price; ask and write nothing."),
    ] = False,
) -> None:
    """Make training data from seed prompts: new prompts, translations, answers, preference pairs.

    A file with one endpoint, three steps and a budget:

    seeds: {risks: {files: seeds.jsonl, language: en, licence: Apache-2.0}}

    models: {writer: {endpoint: "https://HOST/v1", model: NAME, price: {input: 1, output: 4}}}

    steps: [{rephrase: 5}, {answer: safe}, {contrast: unsafe}]

    budget: 20

    Steps are rephrase, benign_twins, translate, answer, contrast and pairs. Every reply is kept in
    OUT/calls: the same command goes on where a killed one stopped, and pays for nothing twice.
    """
    from mixmerge.study.standalone import generate_data as run

    with bar("generate") as progress:
        report = run(spec, out, dry_run=dry_run, progress=progress)
    screen = Console(highlight=False)
    screen.print(_table(report))
    for line in _lines(report, out):
        screen.print(line, markup=False, soft_wrap=True)


def _table(report: "GenerationReport") -> Table:
    table = Table()
    for place, heading in enumerate(("Step", "Takes", "Makes", "Left out", "Calls", "Dollars")):
        table.add_column(heading, justify="right" if place else "left", overflow="fold")
    for name, seeds in report.seeds.items():
        out = sum(seeds.filtered.values())
        table.add_row(name, "", f"{seeds.rows - out:,}", f"{out:,}", "", "")
    for step in report.steps:
        filtered = sum(step.filtered.values())
        table.add_row(
            step.name,
            f"{step.took:,}",
            f"{step.made - filtered:,}",
            f"{filtered + sum(step.dropped.values()):,}",
            f"{sum(usage.calls for usage in step.models.values()):,}",
            _dollars(step),
        )
    return table


def _dollars(step: "StepReport") -> str:
    known = [usage.dollars for usage in step.models.values() if usage.dollars is not None]
    return f"{sum(known):,.2f}" if known else "–"


def _lines(report: "GenerationReport", out: Path) -> list[str]:
    lines = []
    for step in report.steps:
        reasons = step.dropped | step.filtered
        lines += [f"{step.name}: {count:,} left out: {why}" for why, count in reasons.items()]
        lines += [f"{step.name}: {note}" for note in step.notes]
        if step.measured:
            numbers = ", ".join(f"{name} {value:g}" for name, value in step.measured.items())
            lines.append(f"{step.name}: {numbers}")
    for name, seeds in report.seeds.items():
        lines += [f"{name}: {count:,} left out: {why}" for why, count in seeds.filtered.items()]
        lines += [f"{name}: {note}" for note in seeds.notes]
    lines += [f"result: {count:,} left out: {why}" for why, count in report.filtered.items()]
    lines += [*report.notes, *(f"quota {sentence}" for sentence in report.short)]
    languages = ", ".join(f"{language} {n:,}" for language, n in report.languages.items())
    if report.planned:
        price = "" if report.dollars is None else f", up to about ${report.dollars:,.2f}"
        lines.append(
            f"to make: {report.calls:,} calls{price}, for {report.rows:,} rows ({languages}) if "
            "every reply can be used; replies are counted as long as they may be."
        )
        return lines
    price = "" if report.dollars is None else f", ${report.dollars:,.2f} spent"
    lines.append(f"{report.rows:,} rows ({languages}) in {out / 'rows.jsonl'}{price}")
    if report.dropped:
        lines.append(f"{report.dropped:,} left out, each with its reason: {out / 'dropped.jsonl'}")
    return lines
