"""Write a report: tables, figures, and the HTML page with its styles, script and figures inside.

The template engine escapes all text by models, judges and users. As a second defence, the page's
content security policy forbids all requests, and all scripts but its own.

This module imports matplotlib and jinja2; import it only where a report is written.
"""

import base64
import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import get_args

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from mixmerge.files import whole_folder, write_text
from mixmerge.progress import Progress, silent
from mixmerge.records import Outcome
from mixmerge.records.results import AxisInfo
from mixmerge.reporting import figures, formats
from mixmerge.reporting.advice import tell
from mixmerge.reporting.cells import Table, to_csv, to_markdown
from mixmerge.reporting.costs import cost_sentences
from mixmerge.reporting.figures import Plot, Section
from mixmerge.reporting.input import Answer, ReportInput
from mixmerge.reporting.judges import judge_notices
from mixmerge.reporting.models import stages
from mixmerge.reporting.planes import plane, profile
from mixmerge.reporting.tables import all_tables
from mixmerge.reporting.verdict import conclude

_OUTCOMES: dict[Outcome, str] = {
    "win": "Win over base",
    "tie": "Tie with base",
    "loss": "Loss to base",
    "unreadable": "Judge unreadable",
    "refused": "Judge refused",
    "error": "Judge failed",
}

_LONG = 600
"""Characters from which an answer gets a scroll area."""


def write_report(data: ReportInput, out: Path, *, progress: Progress = silent) -> Path:
    """Write ``tables/``, ``figures/`` and ``report.html`` into a folder; return the page's path.

    The same data gives the same bytes (with the same versions of the libraries). Older reports
    in the folder are replaced; other files are left alone.

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
    write_text(page, render(data, tables, plots, documents))
    return page


def all_plots(data: ReportInput) -> list[Plot]:
    """Draw every figure for which there is data, in the order of the page."""
    results, plots = data.results, list[Plot | None]()
    for stage in stages(results):
        plots += [figures.differences(results, stage, axis) for axis in results.deciding]
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
    environment = Environment(
        loader=PackageLoader("mixmerge.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "csv_link": csv_link,
        "outcome": outcome_in_words,
        "tone": _tone,
        "names": _with_names,
        "bounds": lambda info: formats.interval(info, info.bounds),
    }
    static = resources.files("mixmerge.reporting").joinpath("static")
    script, sheet = (static.joinpath(n).read_text("utf-8") for n in ("report.js", "report.css"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    results = data.results
    clusters = {contrast.n for contrast in results.contrasts}
    drawings: dict[str, list[tuple[Plot, Markup]]] = {name: [] for name in get_args(Section)}
    for plot in plots:
        # Matplotlib escapes the names that it writes; nothing else in the SVG is user text.
        svg = Markup(figures.inline_svg(documents[plot.name], plot.name))  # noqa: S704
        drawings[plot.section].append((plot, svg))
    return environment.get_template("report.html.j2").render(
        data=data,
        conclusion=conclude(results),
        told=tell(results),
        tables=tables,
        notices=[
            *results.warnings,
            *judge_notices(data.judge_card),
        ],
        drawings=drawings,
        filters=_filters(data),
        long=_LONG,
        costs=cost_sentences(data),
        primary=sum(contrast.family == "primary" for contrast in results.contrasts),
        clusters=" to ".join(
            map(formats.count, sorted({min(clusters), max(clusters)} if clusters else ()))
        ),
        script=Markup(script),  # noqa: S704 (our own file)
        sheet=Markup(sheet),  # noqa: S704 (our own file)
        script_hash=f"sha256-{digest}",
        compares=any(info.of_base is not None for info in results.axes.values()),
        relative=any(info.relative for info in results.axes.values()),
    )


def _with_names(sentence: str) -> Markup:
    """Format text between backticks as code."""
    parts = [escape(part) for part in sentence.split("`")]
    code = [Markup("<code>{}</code>").format(p) if n % 2 else p for n, p in enumerate(parts)]
    return Markup().join(code)


def csv_link(table: Table) -> str:
    """Return a data URL of the table as CSV, so that the page needs no other file."""
    content = base64.b64encode(to_csv(table).encode()).decode()
    return f"data:text/csv;charset=utf-8;base64,{content}"


def outcome_in_words(answer: Answer, info: AxisInfo | None) -> str:
    """Return an outcome that is clear by itself: ``yes`` of harmful answers is ``Harmful: yes``."""
    if answer.outcome is None:
        return "Not judged"
    if answer.outcome == "graded" and answer.score is not None and info:
        return f"Grade {formats.value(info, answer.score)}"
    if answer.outcome in ("yes", "no") and info:
        return f"{info.title.removesuffix(' answers').capitalize()}: {answer.outcome}"
    return _OUTCOMES.get(answer.outcome, answer.outcome)


def _tone(answer: Answer, info: AxisInfo | None) -> str:
    """Return the colour of an outcome, shown in addition to its words."""
    if answer.outcome in ("yes", "no") and info:
        return "good" if (answer.outcome == "yes") == (info.better == "higher") else "bad"
    return {"win": "good", "loss": "bad"}.get(answer.outcome or "", "neutral")


def _filters(data: ReportInput) -> dict[str, list[str]]:
    """Return the filters of the answers; models are in the order of the results."""
    answered = dict.fromkeys(name for sample in data.samples for name in sample.answers)
    infos = data.results.axes
    outcomes = {
        outcome_in_words(answer, infos.get(sample.axis))
        for sample in data.samples
        for answer in sample.answers.values()
    }
    return {
        "axis": list(dict.fromkeys(sample.axis for sample in data.samples)),
        "language": list(dict.fromkeys(sample.prompt.language for sample in data.samples)),
        "outcome": sorted(outcomes),
        "model": sorted(answered, key=[*data.results.models, *answered].index),
    }
