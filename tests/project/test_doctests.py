"""The examples in docstrings do what they show."""

import doctest
import importlib
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
EXAMPLES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts): lines
    for path in sorted(SOURCE.rglob("*.py"))
    if (lines := path.read_text(encoding="utf-8").count(" >>> "))
}
"""Lines of examples by module."""


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_do_what_they_show(name: str) -> None:
    """Every example in a docstring of the module gives the result that is written below it."""
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted == EXAMPLES[name]
    assert found.failed == 0, "the differences are in the output above"


def test_there_are_examples() -> None:
    """The search for modules with examples finds those of the statistics."""
    assert EXAMPLES["mixmerge.stats.paired"] == 3
