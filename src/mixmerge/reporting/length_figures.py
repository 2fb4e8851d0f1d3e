"""The figures of lengths of training: a line over the steps for each training and each merge."""

from collections.abc import Sequence
from typing import Literal

from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from mixmerge.records import Axis
from mixmerge.records.results import Results, Stage
from mixmerge.records.sweeps import LengthCurve
from mixmerge.reporting import figures, formats, models
from mixmerge.reporting.figures import COLOURS, MARKERS, MUTED, PAPER, Plot
from mixmerge.reporting.lengths import curves_of

_MERGE_MARKS = ("merge", *models.EXTRA_MARKS)
"""Colour and marker of each merge over steps in turn, since all of them are one arm."""
_DASHES: tuple[Literal["--", ":", "-."], ...] = ("--", ":", "-.")
"""Of the trainings in turn."""


def length_plots(results: Results, stage: Stage) -> list[Plot]:
    """Draw each axis over the steps: a line for each training, dashed, and for each merge."""
    curves = curves_of(results, stage)
    axes = dict.fromkeys(axis for c in curves for own in c.points.values() for axis in own)
    return [_plot(results, stage, axis, curves) for axis in axes]


def _plot(results: Results, stage: Stage, axis: Axis, curves: Sequence[LengthCurve]) -> Plot:
    info, listed = results.axes[axis], list[str]()
    handles: list[Line2D] = []
    figure, panel = figures.new_figure(3.4)
    labels = models.labels([curve.model for curve in curves])
    merges = [curve.model for curve in curves if results.models[curve.model].kind == "merge"]
    for curve in curves:
        known_as = models.mark(results, curve.model)
        style: Literal["-", "--", ":", "-."] = _DASHES[len(handles) % len(_DASHES)]
        if curve.model in merges:
            known_as = _MERGE_MARKS[merges.index(curve.model) % len(_MERGE_MARKS)]
            style = "-"
        points = {step: own[axis] for step, own in sorted(curve.points.items()) if axis in own}
        colour, values = COLOURS[known_as], [point.value for point in points.values()]
        panel.plot([*points], values, linestyle=style, color=colour, linewidth=1.4)
        for step, point in points.items():
            panel.plot(
                (step, step), models.ends(point.value, point.ci), color=colour, alpha=0.35,
                linewidth=1.4,
            )  # fmt: skip
            figures.mark(
                panel, step, point.value, known_as, size=10 if step == curve.best else 5, zorder=4
            )
        handles.append(
            Line2D(
                [], [], marker=MARKERS[known_as], color=colour, linestyle=style, markersize=6,
                markeredgecolor=PAPER, label=labels[curve.model],
            )
        )  # fmt: skip
        shown = ", ".join(f"{step}: {formats.value(info, p.value)}" for step, p in points.items())
        listed.append(f"{curve.model} {shown}")
    ticks = sorted({step for curve in curves for step in curve.points})
    panel.set_xscale("log")
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xticks(ticks, [formats.count(step) for step in ticks])
    panel.set_xlabel("Optimizer steps; a large mark is the chosen length")
    panel.set_ylabel(f"{formats.heading(results, axis)} ({formats.better(info)})", wrap=True)
    figures.write_ticks(panel.yaxis, info)
    if info.better == "lower":
        panel.invert_yaxis()
    figure.legend(
        handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=9,
        labelcolor=MUTED,
    )  # fmt: skip
    return Plot(
        models.file_name(stage, "lengths", axis),
        "lengths",
        models.titled(results, stage, f"{axis} by length of training"),
        f"{formats.heading(results, axis)} after so many steps: {'; '.join(listed)}.",
        figure,
    )
