"""Write the page, alone or inside one of the documentation. Imports matplotlib and jinja2."""

import shutil
from pathlib import Path

from benchmarks.page import put
from markupsafe import Markup

from mixmerge.files import whole_folder, write_text
from mixmerge.reporting import formats
from mixmerge.reporting.cells import to_csv, to_markdown
from mixmerge.reporting.figures import inline_svg, style, to_png, to_svg
from mixmerge.reporting.page import environment, inside
from paper.claims import claims
from paper.figures import all_drawings
from paper.scores import Findings
from paper.tables import all_tables

_HERE = "paper"
FIGURES = {
    "objective": ("gains",),
    "dpo-general-by-language": ("by-language",),
    "languages": ("languages",),
    "weights": ("weights",),
    "order": ("orders",),
    "relations": ("mechanisms",),
}
"""Figures shown above a table."""
SECTION = "paper"
"""Name in the marks around the tables in the documentation."""
FOLDER = "figures/paper"
"""Folder of the figures, relative to the page of the documentation."""


def write_page(findings: Findings, out: Path) -> Path:
    """Write ``index.html``, ``tables/`` and ``figures/``; missing models are left out.

    Args:
        findings: All seeds.
        out: The folder, made where it does not exist.

    Returns:
        The path of the page.

    Raises:
        ResourceError: the disk is full or the folder is not writable.
    """
    tables = all_tables(findings, claims(findings.test))
    with whole_folder(out / "tables") as folder:
        for table in tables:
            (folder / f"{table.name}.csv").write_text(to_csv(table), encoding="utf-8")
            (folder / f"{table.name}.md").write_text(to_markdown(table), encoding="utf-8")
    shown = {}
    with style(), whole_folder(out / "figures") as folder:
        for drawing in all_drawings(findings):
            svg = to_svg(drawing.figure)
            (folder / f"{drawing.name}.svg").write_text(svg, encoding="utf-8")
            (folder / f"{drawing.name}.png").write_bytes(to_png(drawing.figure))
            # Matplotlib escapes the names that it writes; nothing else in the SVG is user text.
            shown[drawing.name] = (drawing, Markup(inline_svg(svg, drawing.name)))  # noqa: S704
    page = (
        environment(_HERE)
        .get_template("paper.html.j2")
        .render(
            findings=findings,
            tables=[
                (table, [shown[n] for n in FIGURES.get(table.name, ()) if n in shown])
                for table in tables
            ],
            sheet=inside("report.css")["sheet"],
            cores=formats.duration(findings.hours * 3600) if findings.hours is not None else "",
        )
    )
    write_text(out / "index.html", page)
    return out / "index.html"


def publish(found: Findings, page: Path, docs: Path) -> None:
    """Copy the figures that `write_page` drew beside a page, and write all tables into it.

    Args:
        found: all seeds.
        page: the page that `write_page` wrote.
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
