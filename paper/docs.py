"""Show the grid's tables and figures in a page of the documentation, between two marks."""

import shutil
from pathlib import Path

from benchmarks.page import put

from mixmerge.reporting.cells import to_markdown
from paper.claims import claims
from paper.figures import all_drawings
from paper.scores import Findings
from paper.tables import all_tables
from paper.write import FIGURES

SECTION = "paper"
FOLDER = "figures/paper"
"""Of the figures, relative to the page."""


def publish(found: Findings, page: Path, docs: Path) -> None:
    """Copy the figures that `write_page` drew beside a page, and write all tables into it.

    Args:
        found: all seeds.
        page: what `write_page` wrote.
        docs: Markdown with ``<!-- begin paper -->`` and ``<!-- end paper -->``.
    """
    drawn = {drawing.name: drawing for drawing in all_drawings(found)}
    figures = docs.parent / FOLDER
    figures.mkdir(parents=True, exist_ok=True)
    parts = []
    for table in all_tables(found, claims(found.test)):
        heading, _, rest = to_markdown(table).partition("\n")
        parts.append(f"#{heading}")
        for name in FIGURES.get(table.name, ()):
            if name in drawn:
                shutil.copyfile(page.parent / "figures" / f"{name}.svg", figures / f"{name}.svg")
                parts.append(f"![{drawn[name].alt}]({FOLDER}/{name}.svg)")
                parts.append(f"*{drawn[name].caption}*")
        parts.append(rest.strip())
    put({SECTION: "\n\n".join(parts)}, docs)
