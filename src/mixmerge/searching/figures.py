"""Figures of a search: the front with its intervals, and how its volume grew."""

import itertools
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from mixmerge.records import Axis
from mixmerge.reporting import figures, formats
from mixmerge.reporting.figures import COLOURS, DASHES, MARKERS, MUTED, Plot
from mixmerge.reporting.named_points import Point, place_names
from mixmerge.searching.result import Member, SearchResult, Slice

_FRONT, _ALONE = "merge", "expert"
"""Marks of the report, so that a search looks like one."""


def plots(result: SearchResult) -> Iterator[Plot]:
    """Draw every pair of deciding axes, and the hypervolume; inside `figures.style`."""
    for pair in itertools.combinations(result.goals, 2):
        yield front(result, pair)
    yield growth(result)
    for axis in result.goals:
        for method in result.methods:
            slices = [own for own in result.slices if (own.axis, own.method) == (axis, method)]
            if slices:
                yield response(result, slices)


def front(result: SearchResult, pair: tuple[Axis, Axis]) -> Plot:
    """Plot the members and the models alone on two axes, with their simultaneous intervals.

    Small dots are all candidates on the prompts that they were chosen by. Axes on which lower is
    better run backwards, so that the upper right corner is best.
    """
    figure, panel = figures.new_figure(4.6)
    tried = [each for each in result.candidates if {*pair} <= each.axes.keys()]
    panel.plot(
        *([each.axes[axis].value for each in tried] for axis in pair),
        ls="", marker=".", color=MUTED, alpha=0.5, markersize=4,
    )  # fmt: skip
    texts, lines = [], list[tuple[Point, Point]]()
    for members, mark in ((result.alone, _ALONE), (result.front, _FRONT)):
        for member in members:
            lines += _draw(panel, member, pair, mark)
            texts.append(panel.text(0, 0, member.name, fontsize=9.5, color=COLOURS[mark], zorder=5))
    for axis, ruler, set_limits, set_label in (
        (pair[0], panel.xaxis, panel.set_xlim, panel.set_xlabel),
        (pair[1], panel.yaxis, panel.set_ylim, panel.set_ylabel),
    ):
        info = result.axes[axis]
        found = [end for m in (*result.front, *result.alone) for end in m.axes[axis].ci]
        found += [each.axes[axis].value for each in tried]
        room = 0.05 * (max(found) - min(found)) or 0.05
        set_limits(*figures.turned(info, (min(found) - room, max(found) + room)))
        backwards = " (reversed)" * (info.better == "lower")
        set_label(f"{axis}: {info.title}{backwards} → better")
        figures.write_ticks(ruler, info)
    figure.legend(
        handles=[
            *(Line2D([], [], marker=MARKERS[m], color=COLOURS[m], ls="", label=told)
              for m, told in ((_FRONT, "front"), (_ALONE, "models alone"))),
            Line2D([], [], marker=".", color=MUTED, ls="", label="candidates, when tried"),
        ],
        loc="outside upper center", ncols=3, frameon=False, fontsize=9, handletextpad=0.4,
        columnspacing=1.4,
    )  # fmt: skip
    everyone = (*result.alone, *result.front)
    spots = [(m.axes[pair[0]].value, m.axes[pair[1]].value) for m in everyone]
    place_names(panel, texts, spots, lines, MUTED)
    told = "; ".join(
        f"{m.name} " + ", ".join(formats.value(result.axes[a], m.axes[a].value) for a in pair)
        for m in (*result.front, *result.alone)
    )
    return Plot(
        f"front-{pair[0]}-{pair[1]}",
        "planes",
        f"The front: {pair[0]} against {pair[1]}",
        f"{pair[0]} against {pair[1]} on the prompts that are reported: {told}.",
        figure,
    )


def _draw(
    panel: Axes, member: Member, pair: tuple[Axis, Axis], mark: str
) -> list[tuple[Point, Point]]:
    """Draw a member with its intervals; return these as lines."""
    x, y = (member.axes[axis] for axis in pair)
    across = ((x.ci[0], y.value), (x.ci[1], y.value))
    up = ((x.value, y.ci[0]), (x.value, y.ci[1]))
    for line in (across, up):
        panel.plot(
            *zip(*line, strict=True), color=COLOURS[mark], alpha=0.35, linewidth=1.4, zorder=3
        )
    figures.mark(panel, x.value, y.value, mark, size=8, zorder=4)
    return [across, up]


def response(result: SearchResult, slices: Sequence[Slice]) -> Plot:
    """Plot an axis along every number of the merges by one method, each with its band.

    Small dots are the candidates by that method, with their 95 % intervals; their other numbers
    differ, so they need not lie on the curve.
    """
    axis, method, through = slices[0].axis, slices[0].method, slices[0].through
    info = result.axes[axis]
    columns = min(len(slices), 2)
    rows = -(-len(slices) // columns)
    figure, whole = figures.new_figure(0.6 + 2.0 * rows)
    whole.remove()
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    tried = [each for each in result.candidates if each.merge["method"] == method]
    for panel, own in zip(panels, slices, strict=False):
        panel.fill_between(own.at, own.low, own.high, color=COLOURS[_FRONT], alpha=0.2, linewidth=0)
        panel.plot(own.at, own.mean, color=COLOURS[_FRONT], linewidth=1.6)
        for each in tried:
            place = _place(each.merge, own.parameter)
            if place is not None and axis in each.axes:
                value, reach = each.axes[axis].value, 1.96 * each.axes[axis].standard_error
                panel.errorbar(
                    [place], [value], yerr=[reach], fmt=".", color=MUTED, alpha=0.5, markersize=4,
                    linewidth=0.8,
                )  # fmt: skip
        panel.set_xlabel(own.parameter)
        figures.write_ticks(panel.yaxis, info)
    for panel in panels[len(slices) :]:
        panel.remove()
    low, high = panels[0].get_ylim()
    panels[0].set_ylim(*figures.turned(info, (low, high)))
    label = f"{axis}: {info.title}{' (reversed)' * (info.better == 'lower')} → better"
    figure.supylabel(textwrap.fill(label, 30 * rows), fontsize=9)
    told = "; ".join(
        f"{own.parameter} {own.at[0]:g} to {own.at[-1]:g}: {formats.value(info, own.mean[0])} to "
        f"{formats.value(info, own.mean[-1])}"
        for own in slices
    )
    return Plot(
        f"response-{axis}-{method}",
        "planes",
        f"{axis} of merges by {method}, through {through}",
        f"{axis} as one number of the merge {through} changes, on the prompts of the search: "
        f"{told}.",
        figure,
    )


def _place(merge: Mapping[str, Any], parameter: str) -> float | None:
    """Return a candidate's value of a slice's parameter; None if it has several."""
    weighted = parameter.removeprefix("weight of ")
    if weighted != parameter:
        value = merge["models"][weighted].get("weight")
    else:
        first = next(iter(merge["models"].values()))
        value = merge.get("parameters", {}).get(parameter, first.get(parameter))
    return value if isinstance(value, float) else None


def growth(result: SearchResult) -> Plot:
    """Plot the hypervolume against the candidates that were asked."""
    figure, panel = figures.new_figure(2.6)
    found = [each.hypervolume for each in result.candidates]
    counts = range(1, len(found) + 1)
    panel.step(counts, found, where="post", color=COLOURS[_FRONT], linewidth=1.6)
    panel.axhline(found[-1], color=MUTED, linewidth=1, linestyle=DASHES, zorder=1)
    panel.set_xlabel("candidates asked")
    panel.set_ylabel("hypervolume")
    return Plot(
        "hypervolume",
        "planes",
        "Budget against hypervolume",
        f"The hypervolume of the candidates that keep the constraints, after each of "
        f"{len(found)}: from {found[0]:.3f} to {found[-1]:.3f}.",
        figure,
    )
