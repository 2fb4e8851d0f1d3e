"""Tests of paper/docs.py: the grid inside a page of the documentation."""

from pathlib import Path

import pytest
from paper.docs import publish
from paper.scores import Findings
from paper.write import write_page
from tests.paper.worlds import published_world


@pytest.fixture
def found() -> Findings:
    """A world in which the paper's claims hold."""
    return Findings(seeds=[0, 1, 2], languages=["en", "fr"], test=published_world())


def test_tables_and_figures_stand_between_the_marks(found: Findings, tmp_path: Path) -> None:
    """All tables replace what stood there, figures are beside the page, the rest stays."""
    page = write_page(found, tmp_path / "page")
    docs = tmp_path / "docs" / "results.md"
    docs.parent.mkdir()
    docs.write_text("# Results\n<!-- begin paper -->\nzebra\n<!-- end paper -->\nmore\n")
    publish(found, page, docs)
    text = docs.read_text()
    assert text.startswith("# Results\n<!-- begin paper -->\n### The paper’s five claims\n")
    assert text.endswith("<!-- end paper -->\nmore\n")
    assert "| Merging beats mixing | **agrees** |" in text
    assert "](figures/paper/gains.svg)" in text
    drawn = (docs.parent / "figures/paper/gains.svg").read_text()
    assert drawn == (page.parent / "figures/gains.svg").read_text()
    assert "zebra" not in text


def test_a_page_without_marks_is_left_alone(found: Findings, tmp_path: Path) -> None:
    """Where the section is missing, it is named and nothing is written."""
    page = write_page(found, tmp_path / "page")
    docs = tmp_path / "results.md"
    docs.write_text("# Results\n")
    with pytest.raises(ValueError, match="no section between <!-- begin paper -->"):
        publish(found, page, docs)
    assert docs.read_text() == "# Results\n"
