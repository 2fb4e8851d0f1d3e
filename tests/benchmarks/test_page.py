"""The page of the docs is what the results say."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from benchmarks.figure import draw
from benchmarks.page import PAGE, RESULTS, fill, sections, show
from benchmarks.tables import Row

ABOUT = {
    "date": "2026-01-02",
    "machine": {"processors": 2, "processor": "some", "memory": "8 kB"},
    "versions": {"python": "3", "commit": "abc", "mergekit": "mergekit 0.1.5 torch 2"},
    "environment": {"OMP_NUM_THREADS": "1"},
}
ROWS = [
    Row(size, method, 0, program, seconds, seconds, int(float(size) * 2e9), 10**9, 10**8)
    for size in ("0.1", "0.5")
    for method in ("linear", "ties")
    for program, seconds in (("mergekit", 8.0), ("mixmerge", 2.0), ("floor with fsync", 1.0))
]


def test_the_page_holds_the_results() -> None:
    """docs/benchmarks.md is what `python -m benchmarks.page` writes from the results kept here."""
    page = PAGE.read_text()
    assert fill(page, sections(RESULTS)) == page


def test_sections_show_results_with_their_machine(tmp_path: Path) -> None:
    """Each file of results becomes its circumstances and its table; what is missing is said."""
    content = {**ABOUT, "rows": [asdict(row) for row in ROWS]}
    (tmp_path / "merge-0.5.json").write_text(json.dumps(content))
    found = sections(tmp_path)
    assert found["merge"].startswith("2026-01-02: 2 × some, 8 kB of memory, Python 3, mixmerge abc")
    assert "OMP_NUM_THREADS=1" in found["merge"]
    assert "| **4.0** |" in found["merge"]
    assert found["parity"] == found["examples"] == "*Not measured yet.*"


def test_only_marked_text_is_replaced() -> None:
    """Text around the marks stays, backslashes are text, and a page without marks is refused."""
    page = "top\n<!-- begin x -->\nold\n<!-- end x -->\nend\n"
    assert fill(page, {"x": r"\1 new"}) == page.replace("old", r"\1 new")
    with pytest.raises(ValueError, match="no section between <!-- begin y -->"):
        fill(page, {"y": ""})


def test_a_section_is_printed_and_put_into_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table that a script prints takes its place in the page that was named."""
    page = tmp_path / "page.md"
    page.write_text("<!-- begin x -->\n<!-- end x -->\n")
    show(page, "x", "| 1 |")
    show(None, "x", "| 2 |")
    assert page.read_text() == "<!-- begin x -->\n| 1 |\n<!-- end x -->\n"
    assert capsys.readouterr().out == "| 1 |\n| 2 |\n"


def test_the_figure_is_the_same_bytes_again(tmp_path: Path) -> None:
    """Two sizes make a figure with every program; one size makes none."""
    assert draw(ROWS, tmp_path / "one.svg")
    assert draw(ROWS, tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert not draw(ROWS[:6], tmp_path / "none.svg")
    assert not (tmp_path / "none.svg").exists()
