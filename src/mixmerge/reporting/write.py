"""Write a report: the one entrance for everyone else.

This module imports matplotlib and jinja2; import it where a report is written, not earlier.
"""

from pathlib import Path

from mixmerge.files import whole_folder, write_text
from mixmerge.progress import Progress, silent
from mixmerge.reporting.cells import Table, to_csv, to_markdown
from mixmerge.reporting.draw import to_png, to_svg
from mixmerge.reporting.figures import all_plots, style
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.page import render
from mixmerge.reporting.tables import all_tables
from mixmerge.reporting.verdict import conclude


def write_report(data: ReportInput, out: Path, *, progress: Progress = silent) -> Path:
    """Write ``tables/``, ``figures/`` and ``report.html`` into a folder.

    The same data gives the same bytes (with the same versions of the libraries). Older reports
    in the folder are replaced; other files are left alone.

    Args:
        data: What the study gathered; it may be unfinished.
        out: The folder, made where it does not exist.
        progress: Hears each figure.

    Returns:
        The path of ``report.html``.

    Raises:
        ResourceError: the disk is full or the folder is not writable.
    """
    conclusion = conclude(data.results, data.baselines)
    tables = all_tables(data, conclusion)
    _write_tables(tables, out / "tables")
    documents = {}
    with style(), whole_folder(out / "figures") as folder:
        plots = all_plots(data, conclusion)
        for number, plot in enumerate(plots):
            progress(number, len(plots), "drawing figures")
            documents[plot.name] = to_svg(plot.figure)
            (folder / f"{plot.name}.svg").write_text(documents[plot.name], encoding="utf-8")
            (folder / f"{plot.name}.png").write_bytes(to_png(plot.figure))
    progress(len(plots), len(plots), "writing the page")
    page = out / "report.html"
    write_text(page, render(data, conclusion, tables, plots, documents))
    return page


def _write_tables(tables: list[Table], out: Path) -> None:
    with whole_folder(out) as folder:
        for table in tables:
            (folder / f"{table.name}.csv").write_text(to_csv(table), encoding="utf-8")
            (folder / f"{table.name}.md").write_text(to_markdown(table), encoding="utf-8")
