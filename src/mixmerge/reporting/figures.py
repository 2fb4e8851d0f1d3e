"""The figures of a report, one function each, drawn by matplotlib without a display.

Colours and markers follow the kind of model everywhere; both differ, so that neither colour
vision nor a colour printer is needed.
"""

import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from mixmerge.records.results import Contrast, Interval, Kind, ModelResult, Results, Stage
from mixmerge.reporting.formats import percent, points
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.named_points import Point, place_names
from mixmerge.reporting.roster import (
    KIND_NAMES,
    base_models,
    display_names,
    ends,
    groups,
    models_of,
    non_dominated,
    rates,
    stage_key,
    stage_name,
)
from mixmerge.reporting.verdict import Conclusion, describe, is_significant

INK, MUTED, GRID, PAPER = "#1f2328", "#57606a", "#d8dee4", "#ffffff"
COLOURS: dict[Kind, str] = {
    "base": "#666f78",
    "mixture": "#0a5fa5",
    "expert": "#b34700",
    "merge": "#007a5e",
}
MARKERS: dict[Kind, str] = {"base": "X", "mixture": "s", "expert": "D", "merge": "o"}

_WIDTH = 4.6
"""Inches; on a phone one figure fills the screen and its text stays readable."""


@dataclass(frozen=True)
class Plot:
    """A drawn figure with its words."""

    name: str
    """File name without suffix."""
    stage: Stage | None
    title: str
    alt: str
    """What the figure shows, for readers who do not see it."""
    figure: Figure


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


def all_plots(data: ReportInput, conclusion: Conclusion) -> list[Plot]:
    """Draw every figure for which there is data, in the order of the page."""
    results = data.results
    plots = []
    for stage in groups(results):
        plots.append(plane(results, stage))
        plots.append(bars(results, stage, data.baselines.get(stage) if stage else None))
        if stage and any(c.general and c.safety for c in conclusion.of(stage).comparisons):
            plots.append(differences(results, conclusion, stage))
    return plots


def plane(results: Results, stage: Stage | None) -> Plot:
    """Draw general against safety: every model of a stage, intervals, non-dominated front.

    The harm axis points downwards in numbers, so that the upper right corner is best.
    """
    names = [*base_models(results), *models_of(results, stage)]
    spots = {name: rates(results.models[name]) for name in names}
    front = non_dominated(spots)
    figure, (axes,) = _figure(4.6, 1)
    _frame_plane(axes, list(results.models.values()))
    _draw_front(axes, [spots[name] for name in front])
    for name in names:
        _draw_model(axes, results.models[name])
    _legend(figure, [results.models[name].kind for name in names])
    _write_names(axes, results, display_names(results, names), front)
    listed = "; ".join(
        f"{name} {percent(win)} wins, {percent(harm)} harm" for name, (win, harm) in spots.items()
    )
    return Plot(
        f"{stage_key(stage)}-plane",
        stage,
        f"{stage_name(stage)}: general against safety",
        f"Win rate against harm rate of the {stage_name(stage)} models: {listed}. "
        f"Not dominated by any other: {', '.join(front)}.",
        figure,
    )


def _frame_plane(axes: Axes, models: Sequence[ModelResult]) -> None:
    # The same limits in every stage: the eye compares the panels.
    spans = [_spans(model) for model in models]
    axes.set_xlim(*_limits([end for span, _ in spans for end in span]))
    low, high = _limits([end for _, span in spans for end in span])
    axes.set_ylim(high, low)
    axes.set_xlabel("Win rate against the base model → more helpful")
    axes.set_ylabel("Harm rate (reversed) → safer")
    _in_percent(axes.xaxis)
    _in_percent(axes.yaxis)


def _in_percent(axis: XAxis | YAxis) -> None:
    axis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0)))


def _limits(ends: Sequence[float]) -> tuple[float, float]:
    low, high = min(ends), max(ends)
    margin = 0.08 * (high - low) or 0.05
    return low - margin, high + margin


def _draw_front(axes: Axes, spots: Sequence[tuple[float, float]]) -> None:
    wins, harms = zip(*spots, strict=True)
    axes.step(wins, harms, where="pre", color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), zorder=2)


def _draw_model(axes: Axes, model: ModelResult) -> None:
    win, harm = rates(model)
    colour = COLOURS[model.kind]
    win_span, harm_span = _spans(model)
    axes.plot(win_span, (harm, harm), color=colour, alpha=0.35, linewidth=1.4, zorder=3)
    axes.plot((win, win), harm_span, color=colour, alpha=0.35, linewidth=1.4, zorder=3)
    axes.plot(
        [win], [harm], MARKERS[model.kind], color=colour, markersize=8, markeredgecolor=PAPER,
        markeredgewidth=0.8, zorder=4,
    )  # fmt: skip


def _legend(figure: Figure, kinds: Sequence[Kind]) -> None:
    handles = [
        Line2D([], [], marker=MARKERS[kind], color=COLOURS[kind], linestyle="", label=name)
        for kind, name in KIND_NAMES.items()
        if kind in kinds
    ]
    handles.append(
        Line2D([], [], color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)), label="Not dominated")
    )
    figure.legend(
        handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=9,
        handletextpad=0.4, columnspacing=1.4,
    )  # fmt: skip


def _write_names(axes: Axes, results: Results, names: dict[str, str], front: Sequence[str]) -> None:
    texts = [
        axes.text(
            0, 0, shown, fontsize=9.5, color=COLOURS[results.models[name].kind],
            fontweight="bold" if name in front else "normal", zorder=5,
        )
        for name, shown in names.items()
    ]  # fmt: skip
    points = [rates(results.models[name]) for name in names]
    place_names(axes, texts, points, _lines(results, names, front), MUTED)


def _lines(
    results: Results, names: Iterable[str], front: Sequence[str]
) -> list[tuple[Point, Point]]:
    """Return the error bars and the steps of the front."""
    lines: list[tuple[Point, Point]] = []
    for name in names:
        model = results.models[name]
        win, harm = rates(model)
        (left, right), (low, high) = _spans(model)
        lines.append(((left, harm), (right, harm)))
        lines.append(((win, low), (win, high)))
    corners = [rates(results.models[name]) for name in front]
    for before, after in itertools.pairwise(corners):
        lines += [(before, (before[0], after[1])), ((before[0], after[1]), after)]
    return lines


def _spans(model: ModelResult) -> tuple[Interval, Interval]:
    """Return the error bars of win rate and harm rate."""
    win, harm = rates(model)
    return ends(win, model.general.ci), ends(harm, model.safety.harm_ci)


def bars(results: Results, stage: Stage | None, baseline: str | None) -> Plot:
    """Draw both axes as bars, one per model, against the baseline mix (Figures 2 to 4).

    Bars start at zero; the dashed line is the baseline mixture.
    """
    names = [*base_models(results), *models_of(results, stage)]
    figure, (upper, lower) = _figure(0.56 * len(names) + 1.6, 2)
    models = [results.models[name] for name in names]
    own = list(display_names(results, names).values())
    wins = [(rates(model)[0], _spans(model)[0]) for model in models]
    harms = [(rates(model)[1], _spans(model)[1]) for model in models]
    everyone = [_spans(model) for model in results.models.values()]
    win_limit = max(span[1] for span, _ in everyone)
    harm_limit = max(span[1] for _, span in everyone)
    for axes, values, limit, title in (
        (upper, wins, win_limit, "Win rate (higher is better)"),
        (lower, harms, harm_limit, "Harm rate (lower is better)"),
    ):
        _draw_bars(axes, own, [model.kind for model in models], values)
        right = limit * 1.2 or 1.0
        axes.set_xlim(0, right)
        axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= min(right, 1)])
        axes.set_title(title)
        if baseline in names:
            at = names.index(baseline)
            axes.axvline(
                values[at][0], color=COLOURS["mixture"], linewidth=1.2, linestyle="--", zorder=2
            )
            axes.get_yticklabels()[at].set_fontweight("bold")
    mix = "mix" if stage else "base model"
    if baseline in results.models and baseline:
        mix = describe(results, baseline)
    listed = "; ".join(
        f"{name} {percent(win)} and {percent(harm)}"
        for name, (win, _), (harm, _) in zip(names, wins, harms, strict=True)
    )
    return Plot(
        f"{stage_key(stage)}-bars",
        stage,
        f"{stage_name(stage)}: each model against the {mix}",
        f"Bars of win rate and harm rate of the {stage_name(stage)} models: {listed}.",
        figure,
    )


def _draw_bars(
    axes: Axes,
    names: Sequence[str],
    kinds: Sequence[Kind],
    values: Sequence[tuple[float, Interval]],
) -> None:
    for row, (kind, (value, ci)) in enumerate(zip(kinds, values, strict=True)):
        axes.barh(row, value, height=0.62, color=COLOURS[kind], alpha=0.8)
        axes.plot(ci, (row, row), color=INK, linewidth=1.3)
        axes.annotate(
            percent(value), (max(ci[1], value), row), xytext=(5, 0), textcoords="offset points",
            va="center", fontsize=9, bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.2},
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    for label, kind in zip(axes.get_yticklabels(), kinds, strict=True):
        label.set_color(COLOURS[kind])
    _in_percent(axes.xaxis)


def differences(results: Results, conclusion: Conclusion, stage: Stage) -> Plot:
    """Draw each merge minus the baseline mixture with its paired interval, both axes.

    Right is better in both panels; a filled marker is significant after Holm's adjustment.
    """
    compared = [c for c in conclusion.of(stage).comparisons if c.general and c.safety]
    general = [c.general for c in compared if c.general]
    safety = [c.safety for c in compared if c.safety]
    everywhere = [c for verdict in conclusion.stages for c in verdict.comparisons]
    own = list(display_names(results, [c.merge for c in compared]).values())
    figure, (upper, lower) = _figure(0.56 * len(compared) + 1.9, 2)
    _draw_differences(upper, own, general, [c.general for c in everywhere])
    _draw_differences(lower, own, safety, [c.safety for c in everywhere])
    lower.invert_xaxis()
    upper.set_title("Win rate: merge − mix, points")
    lower.set_title("Harm rate: merge − mix, points (reversed)")
    lower.set_xlabel("merge better →", loc="right")
    listed = "; ".join(
        f"{c.a} win rate {points(c.difference)}, harm rate {points(s.difference)}"
        for c, s in zip(general, safety, strict=True)
    )
    mix = describe(results, compared[0].baseline)
    where = stage_name(stage)
    return Plot(
        f"{stage}-differences",
        stage,
        f"{where}: merges minus the {mix}",
        f"Paired differences in percentage points of each {where} merge from the {mix}: {listed}.",
        figure,
    )


def _draw_differences(
    axes: Axes,
    names: Sequence[str],
    contrasts: Sequence[Contrast],
    everywhere: Sequence[Contrast | None],
) -> None:
    colour = COLOURS["merge"]
    axes.axvline(0, color=COLOURS["mixture"], linewidth=1.2, linestyle="--")
    for row, contrast in enumerate(contrasts):
        axes.plot(ends(contrast.difference, contrast.ci), (row, row), color=colour, linewidth=1.6)
        axes.plot(
            [contrast.difference], [row], "o", color=colour, markersize=8,
            markerfacecolor=colour if is_significant(contrast) else PAPER,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0, labelcolor=colour)
    # The same limits in every stage, as in the plane.
    spans = [ends(c.difference, c.ci) for c in everywhere if c]
    axes.set_xlim(*_limits([0.0, *itertools.chain.from_iterable(spans)]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: points(value)))


def _figure(height: float, panels: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(_WIDTH, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, 1, squeeze=False)
    return figure, [panel for (panel,) in axes]
