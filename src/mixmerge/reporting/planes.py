"""Figures of several axes: planes of two, and the profile of many."""

import itertools
import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes

from mixmerge.records import Axis
from mixmerge.records.results import Interval, Results, Stage
from mixmerge.reporting import figures, models
from mixmerge.reporting.figures import COLOURS, DASHES, GRID, MARKERS, MUTED, PAPER, Plot
from mixmerge.reporting.formats import heading, value
from mixmerge.reporting.named_points import Point, place_names

_LINE = 50
"""Most characters of all headings of a profile together."""
_GAP = 0.052
"""Smallest distance of two names beside a profile, as a share of its height."""


def plane(results: Results, stage: Stage, pair: tuple[Axis, Axis]) -> Plot | None:
    """Plot two axes: every model of a stage, its intervals, and the non-dominated front.

    Axes on which lower is better run backwards, so that the upper right corner is best. None while
    no model has both axes.
    """
    found = models.gains(results, models.beside_base(results, stage), pair)
    if not found:
        return None
    front = models.non_dominated(found)
    scores = {name: [results.models[name].axes[axis] for axis in pair] for name in found}
    spots = {name: (x.value, y.value) for name, (x, y) in scores.items()}
    figure, axes = figures.new_figure(4.6)
    _frame(axes, results, pair)
    corners = [spots[name] for name in front]
    axes.step(
        *zip(*corners, strict=True), where="pre", color=MUTED, linewidth=1.2, linestyle=DASHES,
        zorder=2,
    )  # fmt: skip
    lines: list[tuple[Point, Point]] = []
    for name, spot in spots.items():
        (left, right), (low, high) = (models.ends(score.value, score.ci) for score in scores[name])
        bars = [((left, spot[1]), (right, spot[1])), ((spot[0], low), (spot[0], high))]
        lines += bars
        mark = models.mark(results, name)
        for bar in bars:
            axes.plot(
                *zip(*bar, strict=True), color=COLOURS[mark], alpha=0.35, linewidth=1.4, zorder=3
            )
        figures.mark(axes, *spot, mark, size=8, zorder=4)
    for (x, y), (right, below) in itertools.pairwise(corners):
        lines += [((x, y), (x, below)), ((x, below), (right, below))]
    figures.legend(figure, results, found, "Not dominated")
    texts = [
        axes.text(
            0, 0, label, fontsize=9.5, color=COLOURS[models.mark(results, name)],
            fontweight="bold" if name in front else "normal", zorder=5,
        )
        for name, label in models.labels(list(spots)).items()
    ]  # fmt: skip
    place_names(axes, texts, list(spots.values()), lines, MUTED)
    own = [results.axes[axis] for axis in pair]
    listed = "; ".join(
        f"{name} {value(own[0], x)}, {value(own[1], y)}" for name, (x, y) in spots.items()
    )
    across, up = (heading(results, axis) for axis in pair)
    return Plot(
        models.file_name(stage, "plane", *(pair if len(results.deciding) > 2 else ())),
        "planes",
        f"{models.of_stage(results, stage)}{pair[0]} against {pair[1]}",
        f"{across} against {up}, of every model: {listed}. Not dominated by any other: "
        f"{', '.join(front)}.",
        figure,
        spots,
    )


def _frame(axes: Axes, results: Results, pair: tuple[Axis, Axis]) -> None:
    for axis, ruler, set_limits, set_label in (
        (pair[0], axes.xaxis, axes.set_xlim, axes.set_xlabel),
        (pair[1], axes.yaxis, axes.set_ylim, axes.set_ylabel),
    ):
        info = results.axes[axis]
        set_limits(*figures.turned(info, figures.axis_limits(results, axis)))
        set_label(f"{heading(results, axis)}{' (reversed)' * (info.better == 'lower')} → better")
        figures.write_ticks(ruler, info)


def profile(results: Results, stage: Stage) -> Plot | None:
    """Draw every model of a stage as a line over all deciding axes (parallel coordinates).

    Each axis runs from the worst value of any model at the bottom to the best at the top. None
    while no model has all deciding axes.
    """
    axes = list(results.deciding)
    everyone = models.gains(results, results.models, axes)
    names = [n for n in models.beside_base(results, stage) if n in everyone]
    if not names:
        return None
    front = models.non_dominated({name: everyone[name] for name in names})
    spans = [(min(column), max(column)) for column in zip(*everyone.values(), strict=True)]
    heights = {
        name: [_share(own, span) for own, span in zip(everyone[name], spans, strict=True)]
        for name in names
    }
    figure, panel = figures.new_figure(4.4)
    panel.grid(visible=False)
    panel.set_yticks([])
    panel.spines[["left", "bottom"]].set_visible(False)
    panel.tick_params(axis="x", length=0, labelsize=9)
    panel.set_xticks(range(len(axes)), [_tick(results, axis, _LINE // len(axes)) for axis in axes])
    for place, (axis, span) in enumerate(zip(axes, spans, strict=True)):
        info = results.axes[axis]
        panel.axvline(place, 0, 1, color=GRID, linewidth=1.2)
        for end, at, side in ((span[0], -0.03, "top"), (span[1], 1.03, "bottom")):
            panel.text(
                place, at, value(info, info.sign * end), ha="center", va=side, fontsize=8.5,
                color=MUTED,
            )  # fmt: skip
    for name, found in heights.items():
        mark = models.mark(results, name)
        panel.plot(
            found, marker=MARKERS[mark], color=COLOURS[mark], markersize=6, markeredgecolor=PAPER,
            linewidth=2.0 if name in front else 1.2, alpha=1.0 if name in front else 0.6,
        )  # fmt: skip
    last = {name: found[-1] for name, found in heights.items()}
    _write_beside(panel, results, last, len(axes) - 1, front)
    panel.set_ylim(-0.12, 1.12)
    figures.legend(figure, results, names)
    scores = {name: results.models[name].axes for name in names}
    listed = "; ".join(
        f"{name} " + ", ".join(value(results.axes[axis], own[axis].value) for axis in axes)
        for name, own in scores.items()
    )
    return Plot(
        models.file_name(stage, "profile"),
        "profiles",
        models.titled(results, stage, "every model on all axes"),
        f"A line for each model over {', '.join(axes)}, better upwards: {listed}. Not dominated by "
        f"any other: {', '.join(front)}.",
        figure,
    )


def _share(own: float, span: Interval) -> float:
    return (own - span[0]) / (span[1] - span[0]) if span[1] > span[0] else 0.5


def _tick(results: Results, axis: Axis, width: int) -> str:
    return "\n".join(textwrap.fill(part, width) for part in heading(results, axis).split(": "))


def _write_beside(
    axes: Axes, results: Results, last: dict[str, float], right: float, front: Sequence[str]
) -> None:
    """Write names beside the last axis, spread apart, each joined to the end of its line."""
    labels = models.labels(list(last))
    order = sorted(last, key=lambda name: last[name])
    places = [last[name] for name in order]
    for _ in range(200):
        for low in range(len(places) - 1):
            lack = _GAP - (places[low + 1] - places[low])
            if lack > 1e-9:
                places[low] -= lack / 2
                places[low + 1] += lack / 2
    for name, place in zip(order, places, strict=True):
        colour = COLOURS[models.mark(results, name)]
        axes.annotate(
            labels[name], (right, last[name]), (right + 0.06 * right, place), fontsize=9,
            color=colour, va="center", annotation_clip=False,
            fontweight="bold" if name in front else "normal",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkB": 4},
        )  # fmt: skip
