"""What all figures of a report share, and those with one row for each model or language.

Matplotlib draws without a display. Colours and markers follow the kind of model everywhere; both
differ, so that neither colour vision nor a colour printer is needed.
"""

import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mixmerge.records.results import AxisInfo, Interval, Kind, Results, Stage, Value
from mixmerge.records.verdict import Axis
from mixmerge.reporting.axes import better, difference, heading, points, value
from mixmerge.reporting.formats import percent
from mixmerge.reporting.models import (
    KIND_NAMES,
    base_models,
    describe,
    display_names,
    ends,
    file_name,
    models_of,
    of_stage,
    titled,
)
from mixmerge.reporting.verdict import Conclusion, contrasts_of

INK, MUTED, GRID, PAPER = "#1f2328", "#57606a", "#d8dee4", "#ffffff"
COLOURS: dict[Kind, str] = {
    "base": "#666f78",
    "given": "#8250a8",
    "mixture": "#0a5fa5",
    "expert": "#b34700",
    "merge": "#007a5e",
}
MARKERS: dict[Kind, str] = {
    "base": "X", "given": "^", "mixture": "s", "expert": "D", "merge": "o",
}  # fmt: skip
DASHES = (0, (4, 3))

_WIDTH = 4.6
"""Inches; on a phone one figure fills the screen and its text stays readable."""


Section = Literal["verdict", "profiles", "planes", "models", "languages"]
"""Where the page shows a figure."""


@dataclass(frozen=True)
class Plot:
    """A drawn figure with its words."""

    name: str
    """File name without suffix."""
    section: Section
    title: str
    alt: str
    """What the figure shows, for readers who do not see it."""
    figure: Figure


_LINE = 42
"""Characters of a title that fit beside each other."""


@contextmanager
def style() -> Iterator[None]:
    """Set matplotlib's look inside the block: drawing and saving must both happen there."""
    settings: dict[Any, Any] = {
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 10,
        "axes.edgecolor": GRID,
        "axes.labelcolor": MUTED,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlecolor": INK,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "text.color": INK,
        "figure.facecolor": PAPER,
        "axes.facecolor": "none",
        # A dollar sign in a model's name is no formula.
        "text.parse_math": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "mixmerge",
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        # SVG keeps the text of a name in any script; PNG shows boxes for what the font lacks.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        yield


def values(results: Results, stage: Stage) -> Plot:
    """Draw the models of a stage on every axis, a panel each, with their intervals.

    The dashed line is the baseline of the stage.
    """
    names = [*base_models(results), *models_of(results, stage)]
    axes = sorted(results.axes, key=lambda axis: not results.axes[axis].primary)
    figure, panels = new_figure((0.3 * len(names) + 0.85) * len(axes), len(axes))
    baseline = results.baselines.get(stage, "")
    for axis, panel in zip(axes, panels, strict=True):
        info = results.axes[axis]
        _rows(panel, display_names(results, names).values())
        panel.set_xlim(*axis_limits(results, axis))
        _title(panel, f"{heading(results, axis)} ({better(info)})")
        write_ticks(panel.xaxis, info)
        for row, (name, label) in enumerate(zip(names, panel.get_yticklabels(), strict=True)):
            kind = results.models[name].kind
            label.set(color=COLOURS[kind], fontweight="bold" if name == baseline else "normal")
            if own := results.models[name].axes.get(axis):
                _mark(panel, row, own, kind)
                panel.text(
                    1.02, row, value(info, own.value), fontsize=9, va="center",
                    transform=panel.get_yaxis_transform(),
                )  # fmt: skip
                if name == baseline:
                    _dashed(panel, own.value, kind)
    listed = "; ".join(
        f"{heading(results, axis)}: {_spoken(results, names, axis)}" for axis in axes
    )
    against = f" against {describe(results, baseline)}" if baseline in names else ""
    return Plot(
        file_name(stage, "values"),
        "models",
        titled(results, stage, f"every model{against}"),
        f"Values of the models with their intervals. {listed}.",
        figure,
    )


def _spoken(results: Results, names: Iterable[str], axis: Axis) -> str:
    scores = {name: results.models[name].axes.get(axis) for name in names}
    info = results.axes[axis]
    return ", ".join(f"{name} {value(info, own.value)}" for name, own in scores.items() if own)


def _mark(axes: Axes, row: float, found: Value, kind: Kind) -> None:
    axes.plot(ends(found.value, found.ci), (row, row), color=COLOURS[kind], linewidth=1.6)
    axes.plot(
        [found.value], [row], MARKERS[kind], color=COLOURS[kind], markersize=7,
        markeredgecolor=PAPER, markeredgewidth=0.8, zorder=4,
    )  # fmt: skip


def _kind_of(results: Results, name: str) -> Kind:
    return results.models[name].kind if name in results.models else "base"


def _dashed(axes: Axes, at: float, kind: Kind) -> None:
    axes.axvline(at, color=COLOURS[kind], linewidth=1.2, linestyle="--", zorder=1.5)


def _title(axes: Axes, words: str) -> None:
    axes.set_title(textwrap.fill(words, _LINE))


def _rows(axes: Axes, names: Iterable[str]) -> None:
    labels = list(names)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def differences(results: Results, conclusion: Conclusion, stage: Stage) -> Plot | None:
    """Draw each merge minus the baseline with its paired interval, a panel for each deciding axis.

    Right is better in all panels; a filled marker is significant after Holm's adjustment.
    """
    compared = [each for each in conclusion.of(stage).comparisons if contrasts_of(results, each)]
    if not compared:
        return None
    everywhere = [each for verdict in conclusion.stages for each in verdict.comparisons]
    names = display_names(results, [each.a for each in compared])
    axes = list(results.deciding)
    figure, panels = new_figure((0.28 * len(compared) + 0.95) * len(axes), len(axes))
    listed = []
    for axis, panel in zip(axes, panels, strict=True):
        info = results.axes[axis]
        _rows(panel, names.values())
        _dashed(panel, 0, _kind_of(results, compared[0].b))
        spans = [0.0]
        for each in everywhere:
            if contrast := contrasts_of(results, each).get(axis):
                spans += ends(contrast.difference, contrast.ci)
        for row, each in enumerate(compared):
            if contrast := contrasts_of(results, each).get(axis):
                kind = results.models[each.a].kind
                sure = axis in (*each.better, *each.worse)
                span, at = ends(contrast.difference, contrast.ci), contrast.difference
                panel.plot(span, (row, row), color=COLOURS[kind], linewidth=1.6)
                panel.plot(
                    [at], [row], "o", color=COLOURS[kind], markersize=8,
                    markerfacecolor=COLOURS[kind] if sure else PAPER,
                )  # fmt: skip
                listed.append(f"{each.a} {axis} {difference(info, at)}")
        # The same limits in every stage: the eye compares the panels.
        panel.set_xlim(*turned(info, _limits(spans)))
        panel.xaxis.set_major_formatter(FuncFormatter(partial(_signed, info)))
        _title(panel, f"{heading(results, axis)}{points(info) or ', difference'}")
    panels[-1].set_xlabel("better →", loc="right")
    against = describe(results, compared[0].b)
    return Plot(
        file_name(stage, "differences"),
        "verdict",
        titled(results, stage, f"merges minus {against}"),
        f"Paired differences of each merge from {against}: {'; '.join(listed)}.",
        figure,
    )


def by_language(
    results: Results, stage: Stage, axis: Axis, languages: Sequence[str]
) -> Plot | None:
    """Draw the models of a stage in each language, and name the best; None with one language."""
    names = [*base_models(results), *models_of(results, stage)]
    scores = {n: own for n in names if (own := results.models[n].axes.get(axis))}
    known = [code for code in languages if any(code in s.by_language for s in scores.values())]
    if len(known) < 2:
        return None
    info, listed = results.axes[axis], []
    figure, (panel,) = new_figure(0.42 * len(known) + 1.3, 1)
    _rows(panel, known)
    labels = display_names(results, names)
    for row, code in enumerate(known):
        found = {n: s.by_language[code].value for n, s in scores.items() if code in s.by_language}
        panel.plot((min(found.values()), max(found.values())), (row, row), color=GRID, linewidth=3)
        for name, at in found.items():
            kind = results.models[name].kind
            panel.plot(
                [at], [row], MARKERS[kind], color=COLOURS[kind], markersize=7, alpha=0.8,
                markeredgecolor=PAPER, markeredgewidth=0.8,
            )  # fmt: skip
        best = max(found, key=lambda name: info.sign * found[name])
        listed.append(f"{code}: best {best} with {value(info, found[best])}")
        panel.text(
            1.02, row, labels[best], fontsize=9, va="center",
            color=COLOURS[results.models[best].kind], transform=panel.get_yaxis_transform(),
        )  # fmt: skip
    write_ticks(panel.xaxis, info)
    panel.set_xlabel(f"{heading(results, axis)} ({better(info)})")
    panel.text(1.02, 1.0, "best", fontsize=9, va="bottom", color=MUTED, transform=panel.transAxes)
    legend(figure, [results.models[name].kind for name in scores])
    return Plot(
        file_name(stage, axis, "languages"),
        "languages",
        f"{of_stage(results, stage)}{heading(results, axis)}, by language",
        f"Every model in each language. {'; '.join(listed)}.",
        figure,
    )


def new_figure(height: float, panels: int) -> tuple[Figure, list[Axes]]:
    """Return a figure of some height in inches with panels below each other."""
    figure = Figure(figsize=(_WIDTH, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, 1, squeeze=False)
    return figure, [panel for (panel,) in axes]


def legend(figure: Figure, kinds: Sequence[Kind], front: str = "") -> None:
    """Write what the markers are above a figure, and what the dashed line is."""
    handles = [
        Line2D([], [], marker=MARKERS[kind], color=COLOURS[kind], linestyle="", label=name)
        for kind, name in KIND_NAMES.items()
        if kind in kinds
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
    return _limits([end for own in found for end in ends(own.value, own.ci)] or [0.0, 1.0])


def _limits(found: Sequence[float]) -> Interval:
    low, high = min(found), max(found)
    margin = 0.08 * (high - low) or 0.05
    return low - margin, high + margin


def turned(info: AxisInfo, limits: Interval) -> Interval:
    """Return limits so that the better end comes last."""
    return limits if info.better == "higher" else (limits[1], limits[0])


def write_ticks(axis: XAxis | YAxis, info: AxisInfo) -> None:
    """Write the values on an axis of a figure in its unit."""
    if info.unit == "percent":
        axis.set_major_formatter(FuncFormatter(lambda tick, _: percent(tick, 0)))


def _signed(info: AxisInfo, tick: float, _: int) -> str:
    return difference(info, tick)
