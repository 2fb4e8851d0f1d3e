"""The terminal shows texts and obeys none."""

import io

import pytest
from rich.table import Table
from rich.text import Text

from mixmerge.cli.console import Console

EVIL = "a\x1b[2J\x1b]0;title\x07\u202eb\x9bm\rc"


@pytest.mark.parametrize("terminal", [True, False])
def test_control_characters_are_shown_and_not_obeyed(terminal: bool) -> None:
    """In lines, styled texts and cells of tables; colours of our own stay."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120)
    table = Table()
    table.add_column(Text(EVIL))
    table.add_row(Text(EVIL, style="red"))
    console.print(EVIL, markup=False, highlight=False)
    console.print(table)
    said = out.getvalue()
    assert said.count("\ufffd[2J\ufffd]0;title") == 3
    for sign in ("\x1b[2J", "\x1b]0", "\x07", "\u202e", "\x9b", "\r"):
        assert sign not in said
    assert ("\x1b[31m" in said) == terminal


def test_scripts_keep_what_joins_their_letters() -> None:
    """Joiners of Hindi and Persian, line breaks and right-to-left letters are no controls."""
    out = io.StringIO()
    text = "क्\u200dष می\u200cخواهم\nשלום"
    Console(file=out, width=120).print(text, markup=False)
    assert out.getvalue() == text + "\n"
