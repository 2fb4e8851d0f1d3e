"""The page about comparisons shows what the command prints."""

import re
import runpy
from pathlib import Path

import pytest

from mixmerge.cli.main import exit_code

PAGE = Path(__file__).parents[2] / "docs" / "compare.md"


def test_the_example_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page's scores, made as it says, give the page's table and sentences."""
    text = PAGE.read_text()
    made = re.search(r'```python title="make_scores.py"\n(.*?)```', text, re.DOTALL)
    shown = re.search(r"\$ mixmerge compare scores\.csv\n(.*?)```", text, re.DOTALL)
    assert made
    assert shown
    monkeypatch.chdir(tmp_path)
    Path("make_scores.py").write_text(made[1])
    runpy.run_path("make_scores.py")
    assert exit_code(["compare", "scores.csv"]) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert printed == shown[1].splitlines()
