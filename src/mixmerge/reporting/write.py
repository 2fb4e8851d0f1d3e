"""Write a report: the one entrance for everyone else.

This module imports matplotlib and jinja2; import it where a report is written, not earlier.
"""

import itertools
from pathlib import Path

from mixmerge.files import whole_folder, write_text
from mixmerge.progress import Progress, silent
from mixmerge.reporting.cells import to_csv, to_markdown
from mixmerge.reporting.draw import to_png, to_svg
from mixmerge.reporting.figures import Plot, by_language, differences, style, values
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.models import stages
from mixmerge.reporting.page import render
from mixmerge.reporting.planes import plane, profile
from mixmerge.reporting.tables import all_tables


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
    tables = all_tables(data)
    with whole_folder(out / "tables") as folder:
        for table in itertools.chain.from_iterable(tables.values()):
            (folder / f"{table.name}.csv").write_text(to_csv(table), encoding="utf-8")
            (folder / f"{table.name}.md").write_text(to_markdown(table), encoding="utf-8")
    documents = {}
    with style(), whole_folder(out / "figures") as folder:
        plots = all_plots(data)
        for number, plot in enumerate(plots):
            progress(number, len(plots), "drawing figures")
            documents[plot.name] = to_svg(plot.figure)
            (folder / f"{plot.name}.svg").write_text(documents[plot.name], encoding="utf-8")
            (folder / f"{plot.name}.png").write_bytes(to_png(plot.figure))
    progress(len(plots), len(plots), "writing the page")
    page = out / "report.html"
    write_text(page, render(data, tables, plots, documents))
    return page


def all_plots(data: ReportInput) -> list[Plot]:
    """Draw every figure for which there is data, in the order of the page."""
    results, plots = data.results, list[Plot | None]()
    for stage in stages(results):
        plots += [differences(results, stage, axis) for axis in results.deciding]
        if len(results.deciding) > 2:
            plots.append(profile(results, stage))
        pairs = itertools.combinations(results.deciding, 2)
        plots += [plane(results, stage, pair) for pair in pairs]
        shown = sorted(results.axes, key=lambda axis: not results.axes[axis].primary)
        plots += [values(results, stage, axis) for axis in shown]
        plots += [by_language(results, stage, axis, data.languages) for axis in results.axes]
    return [plot for plot in plots if plot]
