"""Write a report: tables, figures, the HTML page with all of them inside, and the page of samples.

This module imports matplotlib and jinja2; import it only where a report is written.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args
from urllib.parse import quote, urlencode

from markupsafe import Markup

from mixmerge.files import whole_folder, write_text
from mixmerge.progress import Progress, silent
from mixmerge.records.results import Results
from mixmerge.reporting import figures, formats, models
from mixmerge.reporting.advice import tell
from mixmerge.reporting.arms import arm_sentences
from mixmerge.reporting.cells import Table, to_csv, to_markdown
from mixmerge.reporting.costs import cost_sentences
from mixmerge.reporting.figures import Plot, Section
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.judges import judge_notices
from mixmerge.reporting.length_figures import length_plots
from mixmerge.reporting.lengths import length_sentences
from mixmerge.reporting.page import environment, inside
from mixmerge.reporting.planes import plane, profile
from mixmerge.reporting.samples import SAMPLES, write_samples
from mixmerge.reporting.tables import all_tables, made_of
from mixmerge.reporting.verdict import conclude


class Drawing(NamedTuple):
    """A figure in the page, with the places of its points by model, in percent of its size."""

    plot: Plot
    svg: Markup
    places: dict[str, tuple[float, float]]


def write_report(
    data: ReportInput,
    out: Path,
    *,
    progress: Progress = silent,
    say: Callable[[str], None] | None = None,
) -> Path:
    """Write tables, figures, ``report.html`` and the samples into a folder; return the page's path.

    The same data gives the same bytes (with the same versions of the libraries). Older reports
    in the folder are replaced; other files are left alone. ``say`` hears what the page of samples
    leaves out, if anything.

    Raises:
        ResourceError: the disk is full or the folder is not writable.
    """
    tables = all_tables(data)
    with whole_folder(out / "tables") as folder:
        for table in itertools.chain.from_iterable(tables.values()):
            (folder / f"{table.name}.csv").write_text(to_csv(table), encoding="utf-8")
            (folder / f"{table.name}.md").write_text(to_markdown(table), encoding="utf-8")
    documents = {}
    with figures.style(), whole_folder(out / "figures") as folder:
        plots = all_plots(data)
        for number, plot in enumerate(plots):
            progress(number, len(plots), "drawing figures")
            documents[plot.name] = figures.to_svg(plot.figure)
            (folder / f"{plot.name}.svg").write_text(documents[plot.name], encoding="utf-8")
            (folder / f"{plot.name}.png").write_bytes(figures.to_png(plot.figure))
    progress(len(plots), len(plots), "writing the page")
    page = out / "report.html"
    (out / SAMPLES).unlink(missing_ok=True)
    if data.samples:
        left_out = write_samples(data.samples, out / SAMPLES, title=data.title, back=page.name)
        if left_out and say:
            say(left_out)
    write_text(page, render(data, tables, plots, documents))
    return page


def all_plots(data: ReportInput) -> list[Plot]:
    """Draw every figure for which there is data, in the order of the page."""
    results, plots = data.results, list[Plot | None]()
    for stage in models.stages(results):
        plots += [figures.differences(results, stage, axis) for axis in results.deciding]
        plots += length_plots(results, stage)
        if len(results.deciding) > 2:
            plots.append(profile(results, stage))
        pairs = itertools.combinations(results.deciding, 2)
        plots += [plane(results, stage, pair) for pair in pairs]
        shown = sorted(results.axes, key=lambda axis: not results.axes[axis].primary)
        plots += [figures.values(results, stage, axis) for axis in shown]
        plots += [
            figures.by_language(results, stage, axis, data.languages) for axis in results.axes
        ]
    return [plot for plot in plots if plot]


def render(
    data: ReportInput,
    tables: Mapping[str, Sequence[Table]],
    plots: Iterable[Plot],
    documents: Mapping[str, str],
) -> str:
    """Return the page as HTML, with tables by section and the SVG document of each plot by name."""
    engine = environment()
    engine.filters |= {
        "bounds": lambda info: formats.interval(info, info.bounds),
        "anchor": {name: f"model-{n}" for n, name in enumerate(data.results.models, 1)}.get,
        "samples": samples_link,
    }
    results = data.results
    clusters = {contrast.n for contrast in results.contrasts}
    drawings: dict[str, list[Drawing]] = {name: [] for name in get_args(Section)}
    for plot in plots:
        # Matplotlib escapes the names that it writes; nothing else in the SVG is user text.
        svg = Markup(figures.inline_svg(documents[plot.name], plot.name))  # noqa: S704
        drawings[plot.section].append(Drawing(plot, svg, figures.places(plot)))
    return engine.get_template("report.html.j2").render(
        data=data,
        conclusion=conclude(results),
        arms=arm_sentences(results),
        lengths=length_sentences(results),
        answer=models.nouns(results)[0],
        told=tell(results),
        tables=tables,
        notices=[
            *results.warnings,
            *judge_notices(data.judge_card),
        ],
        drawings=drawings,
        samples_page=SAMPLES,
        facts={name: facts(results, name) for name in models.all_models(results)},
        costs=cost_sentences(data),
        primary=sum(contrast.family == "primary" for contrast in results.contrasts),
        clusters=" to ".join(
            map(formats.count, sorted({min(clusters), max(clusters)} if clusters else ()))
        ),
        compares=any(info.of_base is not None for info in results.axes.values()),
        relative=any(info.relative for info in results.axes.values()),
        **inside("report.css", "theme.js", "report.js"),
    )


def facts(results: Results, name: str) -> list[str]:
    """Return what a model is, and its value on every axis, one line each."""
    found = results.models[name].axes
    lines = [
        f"{formats.heading(results, axis)} {formats.value(results.axes[axis], own.value)}"
        + (f" ({formats.interval(results.axes[axis], own.ci)})" if own.ci else "")
        for axis, own in found.items()
    ]
    return [made_of(results, name), *lines]


def samples_link(a: str, b: str = "") -> str:
    """Return the address of a model's answers, or of those on which it and another one differ."""
    chosen = {"a": a, "b": b, "show": "differ"} if b else {"a": a}
    return f"{SAMPLES}#{urlencode(chosen, quote_via=quote)}"
