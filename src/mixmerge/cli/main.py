"""The ``mixmerge`` command: registers the commands and turns errors into exit codes."""

import gc
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

import mixmerge
from mixmerge.cli import WithEngines
from mixmerge.cli.annotate import annotate_adjudicate, annotate_plan, annotate_read, annotate_serve
from mixmerge.cli.compare import compare
from mixmerge.cli.console import Console
from mixmerge.cli.doctor import doctor
from mixmerge.cli.examples import epilog, unbroken
from mixmerge.cli.extract import extract
from mixmerge.cli.generate_data import generate_data
from mixmerge.cli.init import init
from mixmerge.cli.inspect import inspect
from mixmerge.cli.merge import merge
from mixmerge.cli.parts import evaluate, mix, train
from mixmerge.cli.plan import plan
from mixmerge.cli.run import adopt, demo, export, report, run, step
from mixmerge.cli.search import search
from mixmerge.cli.status import status
from mixmerge.errors import SpecError, StepFailedError, UserError

HELP = """Should I mix my training data, or train apart and merge the models? Measure it.

[bold]mixmerge demo[/bold] answers it on a built-in testbed, in minutes, on any laptop;
[bold]mixmerge init[/bold] writes a study about your own models or data, [bold]mixmerge plan[/bold]
shows what it costs, and [bold]mixmerge run[/bold] runs it.

Completion of commands and options in bash, zsh, fish and PowerShell:
[bold]mixmerge --install-completion[/bold], then open a new shell.
"""

INTERRUPTED = 130
"""Exit code after Ctrl-C, which typer returns instead of raising."""

_OBJECTS_PER_COLLECTION = 10_000
"""New objects between garbage collections; Python's default is 700."""

# Typer ships its own copy of click since 0.29; this finds the class in either.
_USAGE_ERROR: Any = typer.BadParameter.__base__

app = typer.Typer(
    help=unbroken(HELP),
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
PANELS: dict[str, tuple[Callable[..., int | None], ...]] = {
    "The whole study": (demo, init, doctor, plan, run, search, status, adopt, report, export),
    "One part of it": (generate_data, mix, train, merge, extract, evaluate, inspect, compare),
    "People's labels": (annotate_plan, annotate_serve, annotate_read, annotate_adjudicate),
}
_GROUPS = {"annotate": "Have people label answers, blind, and correct the judge by their labels."}


def words(function: str) -> list[str]:
    """Return the words of a function's command: ``annotate plan``, ``generate-data``."""
    group, _, name = function.partition("_")
    return [group, name] if group in _GROUPS else [function.replace("_", "-")]


groups: dict[str, typer.Typer] = {}
for panel, commands in PANELS.items():
    for command in commands:
        *group, name = words(command.__name__)
        for each in group:
            if each not in groups:
                groups[each] = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)
                app.add_typer(groups[each], name=each, help=_GROUPS[each], rich_help_panel=panel)
        (groups[group[0]] if group else app).command(
            name,
            cls=WithEngines,
            rich_help_panel=panel,
            help=unbroken(command.__doc__ or ""),
            epilog=epilog(command.__name__),
        )(command)
app.command(hidden=True)(step)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"mixmerge {mixmerge.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; exit with 0, 1 (our error), 2 (the user's) or 130 (interrupted)."""
    # These save a quarter of a second, as long as merging 300 MB takes: importing modules makes no
    # garbage, memory is freed when the process ends, and specifications need no pydantic plugins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.set_threshold(_OBJECTS_PER_COLLECTION)
    code = exit_code(sys.argv[1:])
    gc.freeze()
    sys.exit(code)


def exit_code(arguments: list[str]) -> int:
    """Run one command line and return its exit code; print errors as messages."""
    screen = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        _start_log()
        result = app(arguments, standalone_mode=False)
    except (UserError, StepFailedError) as error:
        screen.print(str(error), style="red", markup=False)
        return error.code if isinstance(error, StepFailedError) else 2
    except typer.Abort:  # Ctrl-C at a question
        result = INTERRUPTED
    except _USAGE_ERROR as error:
        error.show()
        return 2
    except Exception as error:  # noqa: BLE001 - the last resort
        handle, log = tempfile.mkstemp(prefix="mixmerge-", suffix=".log")
        with os.fdopen(handle, "w") as file:
            file.write(traceback.format_exc())
        screen.print(
            f"mixmerge failed: {type(error).__name__}: {error}\n"
            f"This is a fault of mixmerge, not yours. The traceback is in {log}.",
            style="red",
            markup=False,
        )
        return 1
    if result == INTERRUPTED:
        screen.print(
            "Interrupted. What was finished is kept; run the same command again to continue."
        )
    return result if isinstance(result, int) else 0


def _start_log() -> None:
    asked = os.environ.get("MIXMERGE_LOG") or "WARNING"
    levels = logging.getLevelNamesMapping()
    if asked.upper() not in levels:
        known = ", ".join(name for name in levels if name not in ("NOTSET", "WARN"))
        raise SpecError(f"MIXMERGE_LOG={asked}: there is no such level; there are {known}.")
    logging.basicConfig(level=asked.upper())
