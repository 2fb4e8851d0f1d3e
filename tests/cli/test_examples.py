"""Tests of mixmerge.cli.examples, and of completion."""

import os
import subprocess
import sys

import pytest
import typer.main

from mixmerge.cli.examples import EXAMPLES, epilog, unbroken
from mixmerge.cli.main import PANELS, app, exit_code, words

ZSH = {"_TYPER_COMPLETE_ARGS": "mixmerge doc"}
COMMANDS = [command.__name__ for panel in PANELS.values() for command in panel]


def test_every_command_has_an_example() -> None:
    """The examples are those of the commands that there are, no more and no fewer."""
    assert {*EXAMPLES} == {*COMMANDS}


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_examples_are_command_lines_that_parse(line: str) -> None:
    """Every option and argument of an example exists."""
    program, name, *arguments = line.split()
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    assert program == "mixmerge"
    if hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    assert command.make_context(name, arguments).params


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_the_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is shown whole on its line where the terminal is wide enough."""
    assert exit_code([*words(command), "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for line in EXAMPLES[command]:
        assert line in shown
    assert epilog(command).startswith("Examples:")


def test_paragraphs_are_not_broken_where_the_source_is() -> None:
    """A terminal breaks lines by its own width."""
    assert unbroken("One.\n\n    Two goes\n    on.\n") == "One.\n\nTwo goes on."


@pytest.mark.parametrize(
    ("shell", "variables"),
    [
        ("bash", {"COMP_WORDS": "mixmerge doc", "COMP_CWORD": "1"}),
        ("zsh", ZSH),
        (
            "fish",
            {**ZSH, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
        ),
    ],
)
def test_shells_complete_commands(shell: str, variables: dict[str, str]) -> None:
    """What is typed of a command is completed, and no model library is loaded for it."""
    code = (
        "import sys; sys.argv = ['mixmerge']\n"
        "from mixmerge.cli.main import main\n"
        "try:\n    main()\n"
        "finally:\n    assert 'torch' not in sys.modules\n"
    )
    asked = os.environ | variables | {"_MIXMERGE_COMPLETE": f"complete_{shell}"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=asked, capture_output=True, text=True, check=True
    )
    assert "doctor" in done.stdout
    assert "demo" not in done.stdout
