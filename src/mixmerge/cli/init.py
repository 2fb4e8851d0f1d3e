"""``mixmerge init``: a first study, from flags or from a few questions."""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from mixmerge.errors import SpecError


def init(
    out: Annotated[Path, typer.Argument(help="The study file to write.")] = Path("study.yaml"),
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=MODEL", help="An existing model: folder or hub name."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="Training rows: JSON, CSV or Parquet."),
    ] = None,
    evaluate: Annotated[
        list[str] | None,
        typer.Option("--eval", metavar="NAME=FILE", help="Evaluation prompts of one axis."),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The model to train, or that was fine-tuned.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Language of rows without one; English by default.")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="auto, exact_match, f1, numeric, or judge (a judge model).")
    ] = "auto",
    judge: Annotated[str | None, typer.Option(help="The judge model's name.")] = None,
    judge_url: Annotated[
        str, typer.Option(help="The judge's OpenAI-compatible endpoint.")
    ] = "https://api.openai.com/v1",
    gpu_memory: Annotated[
        float | None,
        typer.Option(min=1, help="GB of one GPU; decides full, LoRA or QLoRA, and batch."),
    ] = None,
    lora: Annotated[
        bool | None, typer.Option("--lora/--full", help="Train adapters, or all weights.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Write a first study about your models or data files; `plan` accepts it as it is.

    Reads every row: columns, format, length, language. Without evaluation prompts, a part of the
    data is held out. In a terminal, asks for what is missing.
    """
    from mixmerge.cli.console import Console
    from mixmerge.study.starter.write import init

    models, files, prompts = (
        _named(option, given)
        for option, given in (("model", model), ("data", data), ("eval", evaluate))
    )
    if sys.stdin.isatty():
        if not models and not files:
            models = _ask_models()
            files = _ask_files("A data file to train on")
        if base is None:
            base = _ask_base(bool(models))
        if models and not files and not prompts:
            prompts = _ask_files("A file of evaluation prompts")
    screen = Console(highlight=False)
    with Console(stderr=True).status("reading the files"):
        started = init(
            out,
            models=models,
            data={name: Path(file) for name, file in files.items()},
            evaluate={name: Path(file) for name, file in prompts.items()},
            base=base,
            language=language,
            metric=metric,
            judge=judge,
            judge_url=judge_url,
            gpu_memory=gpu_memory,
            lora=lora,
            force=force,
        )
    for note in started.notes:
        screen.print(f"- {note}", markup=False, soft_wrap=True)
    for file in started.files:
        screen.print(f"prompts: {file}", markup=False, soft_wrap=True)
    screen.print(f"study:   {started.study}", markup=False, soft_wrap=True)
    screen.print(f"next:    mixmerge plan {started.study}", markup=False, soft_wrap=True)


def _named(option: str, given: list[str] | None) -> dict[str, str]:
    """Read ``NAME=VALUE``; a value alone is named after its last part."""
    found: dict[str, str] = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        if not equals:
            name, value = _last_part(text), text
        if not value or name in found:
            what = "names nothing" if not value else "is a second one of this name"
            raise SpecError(f"--{option} {text}: {what}; write `--{option} NAME=VALUE`.")
        found[name] = value
    return found


def _last_part(text: str) -> str:
    name = Path(text.partition("@")[0]).name.partition(".")[0]
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "it"


def _ask_models() -> dict[str, str]:
    found: dict[str, str] = {}
    while said := typer.prompt(
        f"A {'further ' if found else ''}model that exists, NAME=FOLDER_OR_HUB (empty: none)",
        default="",
        show_default=False,
    ):
        found |= _named("model", [said])
    return found


def _ask_files(what: str) -> dict[str, str]:
    found: dict[str, str] = {}
    while said := typer.prompt(
        f"{what}, NAME=FILE (empty: no {'more' if found else 'such file'})",
        default="",
        show_default=False,
    ):
        ((name, file),) = _named("data", [said]).items()
        if Path(file).is_file():
            found[name] = file
        else:
            typer.echo(f"{file}: no such file.")
    return found


def _ask_base(needed: bool) -> str | None:
    what = "The model that these were tuned from" if needed else "The model to train"
    default = "" if needed else "testbed"
    return typer.prompt(f"{what}, a folder or hub name", default=default or None) or None
