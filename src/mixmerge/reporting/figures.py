"""Shared parts of all figures, and the figures with a row per model or language.

Matplotlib draws without a display. Colour and marker both show the arm of a model, so that the
figures can be read without colour.
"""

import io
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mixmerge.records import Axis
from mixmerge.records.results import AxisInfo, Interval, Results, Stage
from mixmerge.reporting import formats, models
from mixmerge.reporting.verdict import contrasts_of

INK, MUTED, GRID, PAPER = "#1f2328", "#57606a", "#d8dee4", "#ffffff"
COLOURS: dict[str, str] = {
    "base": "#666f78",
    "given": "#8250a8",
    "mixture": "#0a5fa5",
    "expert": "#b34700",
    "merge": "#007a5e",
    "arm-1": "#b3005e",
    "arm-2": "#6b5b00",
    "arm-3": "#00707f",
    "arm-4": "#4a4ad0",
    "arm-5": "#8f3a3a",
}
"""By mark, as `mixmerge.reporting.models.mark` returns it."""
MARKERS: dict[str, str] = {
    "base": "X", "given": "^", "mixture": "s", "expert": "D", "merge": "o",
    "arm-1": "P", "arm-2": "v", "arm-3": "<", "arm-4": ">", "arm-5": "h",
}  # fmt: skip
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    PAPER: "var(--paper)",
    **{colour: f"var(--{mark})" for mark, colour in COLOURS.items()},
}

DASHES = (0, (4, 3))

_WIDTH = 4.6
"""Inches; on a phone one figure fills the screen and its text stays readable."""


Section = Literal["verdict", "lengths", "profiles", "planes", "models", "languages"]
"""Where the page shows a figure."""


@dataclass(frozen=True)
class Plot:
    """A drawn figure with its caption and description."""

    name: str
    """File name without suffix."""
    section: Section
    title: str
    alt: str
    """A description for readers who cannot see the figure."""
    figure: Figure
    points: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """By model, in the units of the axes: the page says there what the model is."""


def places(plot: Plot) -> dict[str, tuple[float, float]]:
    """Return where the points of a drawn figure are, from its left and top, in percent."""
    panel, (width, height) = plot.figure.axes[0], plot.figure.bbox.size
    pixels = {name: panel.transData.transform(point) for name, point in plot.points.items()}
    return {
        name: (round(100 * x / width, 2), round(100 - 100 * y / height, 2))
        for name, (x, y) in pixels.items()
    }


@contextmanager
def style() -> Iterator[None]:
    """Set matplotlib's style within the block; both draw and save inside it."""
    inks = {
        INK: ("axes.titlecolor", "text.color"),
        MUTED: ("axes.labelcolor", "xtick.color", "ytick.color"),
        GRID: ("axes.edgecolor", "grid.color"),
        PAPER: ("figure.facecolor",),
    }
    colours: dict[Any, Any] = {key: ink for ink, keys in inks.items() for key in keys}
    sheet = Path(__file__).with_name("static") / "report.mplstyle"
    with mpl.rc_context(colours, sheet), warnings.catch_warnings():
        # SVG keeps text in any script; PNG shows boxes for characters that the font lacks.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        yield


def values(results: Results, stage: Stage, axis: Axis) -> Plot:
    """Draw the models of a stage on one axis with their intervals.

    The dashed line is the baseline of the stage.
    """
    names = models.beside_base(results, stage)
    info, baseline, listed = results.axes[axis], results.baselines.get(stage, ""), []
    figure, panel = new_figure(0.3 * len(names) + 0.85)
    _rows(panel, models.labels(names).values())
    panel.set_xlim(*axis_limits(results, axis))
    panel.set_xlabel(f"{formats.heading(results, axis)} ({formats.better(info)})", wrap=True)
    write_ticks(panel.xaxis, info)
    for row, (name, label) in enumerate(zip(names, panel.get_yticklabels(), strict=True)):
        model = results.models[name]
        known_as = models.mark(results, name)
        colour = COLOURS[known_as]
        label.set(color=colour, fontweight="bold" if name == baseline else "normal")
        if own := model.axes.get(axis):
            panel.plot(models.ends(own.value, own.ci), (row, row), color=colour, linewidth=1.6)
            mark(panel, own.value, row, known_as, zorder=4)
            panel.text(
                1.02, row, formats.value(info, own.value), fontsize=9, va="center",
                transform=panel.get_yaxis_transform(),
            )  # fmt: skip
            listed.append(f"{name} {formats.value(info, own.value)}")
            if name == baseline:
                _dashed(panel, own.value, known_as)
    against = f" against {baseline}" if baseline in names else ""
    return Plot(
        models.file_name(stage, "values", axis),
        "models",
        models.titled(results, stage, f"every model{against}, {axis}"),
        f"Values of the models with their intervals, {formats.heading(results, axis)}: "
        f"{', '.join(listed)}.",
        figure,
    )


def mark(axes: Axes, x: float, y: float, known_as: str, size: float = 7, **more: Any) -> None:
    """Draw a model as the marker of its arm."""
    axes.plot(
        [x], [y], MARKERS[known_as], color=COLOURS[known_as], markersize=size,
        markeredgecolor=PAPER, markeredgewidth=0.8, **more,
    )  # fmt: skip


def _dashed(axes: Axes, at: float, known_as: str) -> None:
    axes.axvline(at, color=COLOURS[known_as], linewidth=1.2, linestyle="--", zorder=1.5)


def _rows(axes: Axes, names: Iterable[str]) -> None:
    labels = list(names)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def differences(results: Results, stage: Stage, axis: Axis) -> Plot | None:
    """Draw each merge minus the baseline on a deciding axis, with its paired interval.

    Right is better; a filled marker is significant after Holm's adjustment. The band is the margin:
    differences that do not matter.
    """
    compared = [e for e in results.decisions if e.stage == stage and contrasts_of(results, e)]
    if not compared:
        return None
    info, baseline, listed = results.axes[axis], compared[0].b, []
    figure, panel = new_figure(0.28 * len(compared) + 0.95)
    _rows(panel, models.labels([each.a for each in compared]).values())
    _dashed(panel, 0, models.mark(results, baseline) if baseline in results.models else "base")
    panel.axvspan(-info.margin, info.margin, color=COLOURS["base"], alpha=0.12, linewidth=0)
    spans = [-info.margin, info.margin]
    for each in results.decisions:
        if contrast := contrasts_of(results, each).get(axis):
            spans += models.ends(contrast.difference, contrast.ci)
    for row, each in enumerate(compared):
        if contrast := contrasts_of(results, each).get(axis):
            colour, at = COLOURS[models.mark(results, each.a)], contrast.difference
            sure = axis in (*each.better, *each.worse)
            panel.plot(models.ends(at, contrast.ci), (row, row), color=colour, linewidth=1.6)
            panel.plot(
                [at], [row], "o", color=colour, markersize=8,
                markerfacecolor=colour if sure else PAPER,
            )  # fmt: skip
            listed.append(f"{each.a} {formats.difference(info, at)}")
    # The same limits in every stage, so that readers can compare the figures.
    panel.set_xlim(*turned(info, _limits(spans)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: formats.difference(info, tick)))
    unit = formats.unit_of_differences(info) or ", difference"
    one, several = models.nouns(results)
    panel.set_xlabel(f"{formats.heading(results, axis)}{unit} → better", wrap=True)
    return Plot(
        models.file_name(stage, "differences", axis),
        "verdict",
        models.titled(results, stage, f"{several} minus {baseline}, {axis}"),
        f"Paired differences of each {one} from {baseline} on {axis}: {'; '.join(listed)}.",
        figure,
    )


def by_language(
    results: Results, stage: Stage, axis: Axis, languages: Sequence[str]
) -> Plot | None:
    """Draw the models of a stage in each language, and name the best; None with one language."""
    names = models.beside_base(results, stage)
    scores = {n: own for n in names if (own := results.models[n].axes.get(axis))}
    known = [code for code in languages if any(code in s.by_language for s in scores.values())]
    if len(known) < 2:
        return None
    info, listed = results.axes[axis], []
    figure, panel = new_figure(0.42 * len(known) + 1.3)
    _rows(panel, known)
    labels = models.labels(names)
    for row, code in enumerate(known):
        found = {n: s.by_language[code].value for n, s in scores.items() if code in s.by_language}
        panel.plot((min(found.values()), max(found.values())), (row, row), color=GRID, linewidth=3)
        for name, at in found.items():
            mark(panel, at, row, models.mark(results, name), alpha=0.8)
        best = max(found, key=lambda name: info.sign * found[name])
        listed.append(f"{code}: best {best} with {formats.value(info, found[best])}")
        panel.text(
            1.02, row, labels[best], fontsize=9, va="center",
            color=COLOURS[models.mark(results, best)], transform=panel.get_yaxis_transform(),
        )  # fmt: skip
    write_ticks(panel.xaxis, info)
    panel.set_xlabel(f"{formats.heading(results, axis)} ({formats.better(info)})", wrap=True)
    panel.text(1.02, 1.0, "best", fontsize=9, va="bottom", color=MUTED, transform=panel.transAxes)
    legend(figure, results, scores)
    return Plot(
        models.file_name(stage, axis, "languages"),
        "languages",
        f"{models.of_stage(results, stage)}{formats.heading(results, axis)}, by language",
        f"Every model in each language. {'; '.join(listed)}.",
        figure,
    )


def new_figure(height: float) -> tuple[Figure, Axes]:
    """Return a figure of some height in inches."""
    figure = Figure(figsize=(_WIDTH, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def legend(figure: Figure, results: Results, names: Iterable[str], front: str = "") -> None:
    """Write the legend above a figure: the markers of arms, and the dashed line."""
    known = {models.arm_name(results, name): models.mark(results, name) for name in names}
    handles = [
        Line2D([], [], marker=MARKERS[known[arm]], color=COLOURS[known[arm]], ls="", label=arm)
        for arm in dict.fromkeys((*models.ARM_NAMES.values(), *known))
        if arm in known
    ]
    if front:
        handles.append(Line2D([], [], color=MUTED, linewidth=1.2, linestyle=DASHES, label=front))
    figure.legend(
        handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=9,
        handletextpad=0.4, columnspacing=1.4,
    )  # fmt: skip


def axis_limits(results: Results, axis: Axis) -> Interval:
    """Return limits with room for every model of the study, the same in every figure."""
    found = [model.axes[axis] for model in results.models.values() if axis in model.axes]
    return _limits([end for own in found for end in models.ends(own.value, own.ci)] or [0.0, 1.0])


def _limits(found: Sequence[float]) -> Interval:
    low, high = min(found), max(found)
    margin = 0.08 * (high - low) or 0.05
    return low - margin, high + margin


def turned(info: AxisInfo, limits: Interval) -> Interval:
    """Return limits ordered so that the better end is last."""
    return limits if info.better == "higher" else (limits[1], limits[0])


def write_ticks(axis: XAxis | YAxis, info: AxisInfo) -> None:
    """Write the values on an axis of a figure in its unit."""
    if info.unit == "percent":
        axis.set_major_formatter(FuncFormatter(lambda tick, _: formats.percent(tick, 0)))


def to_png(figure: Figure) -> bytes:
    """Return a figure as PNG, 200 dots per inch, without date or version: same data, same bytes."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=200, metadata={"Software": None})
    return out.getvalue()


def to_svg(figure: Figure) -> str:
    """Return a figure as an SVG document with real text, without a date."""
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def inline_svg(svg: str, prefix: str) -> str:
    """Turn an SVG document into an element of an HTML page.

    Colours become the page's variables, so that the figure follows light and dark; identifiers
    get ``prefix``, so that several figures share a page. The element is hidden from screen readers,
    since the page has the description.
    """
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", element)
    for colour, variable in _VARIABLES.items():
        element = element.replace(colour, variable)
    # The view box alone sets the shape; the style sheet sets the width.
    element = re.sub(r'<svg ([^>]*?)\bwidth="[^"]*"', r"<svg \1", element, count=1)
    element = re.sub(r'<svg ([^>]*?)\bheight="[^"]*"', r"<svg \1", element, count=1)
    return element.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
