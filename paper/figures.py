"""The figures of the page, in the paper's order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from mixmerge.records import Axis
from mixmerge.reporting.figures import COLOURS, INK, MUTED, PAPER
from mixmerge.reporting.formats import percent, points, signed
from mixmerge.reporting.named_points import place_names
from mixmerge.stats.estimate import Estimate
from paper.claims import merges, sign
from paper.mechanisms import relations
from paper.published import METHODS, TABLE_1
from paper.scores import Findings, Scores
from paper.tables import ORDERS, STAGES

COLOUR = {"linear": "#0a5fa5", "slerp": "#b34700", "ties": "#007a5e", "dare-ties": "#8250a8"}
"""By merge method."""
_GROUPS = {
    "three": ("en, fr, es", -0.15, COLOURS["expert"]),
    "six": ("all six", 0.15, COLOURS["mixture"]),
}
"""Label, offset from the row's middle, and colour of the merged groups of languages."""
MARKER = {"linear": "o", "slerp": "D", "ties": "s", "dare-ties": "^"}
"""By merge method."""


@dataclass(frozen=True)
class Drawing:
    """A figure with its caption and description."""

    name: str
    title: str
    caption: str
    alt: str
    """A description for readers who cannot see it."""
    figure: Figure


SHOWN = {
    "cosine": "cosine of the two changes",
    "opposed signs": "share of weights whose changes oppose",
}
"""Measures of a pair of languages that have a panel, and the panel's axis label."""


def all_drawings(findings: Findings) -> list[Drawing]:
    """Draw every figure for which there is data."""
    made = (
        gains(findings.test),
        by_language(findings),
        languages(findings.test),
        weights(findings),
        orders(findings.test),
        mechanisms(findings),
    )
    return [drawing for drawing in made if drawing is not None]


def new_figure(rows: int, columns: int, height: float) -> tuple[Figure, list[list[Axes]]]:
    """Return a figure of the page's width with its panels, by row and column."""
    figure = Figure(figsize=(9.2, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(row) for row in axes]


def _line(
    axes: Axes, at: float, estimate: Estimate, colour: str, marker: str, *, label: str | None = None
) -> None:
    """Draw an estimate with its interval on a row; filled where the interval excludes zero."""
    axes.plot(estimate.interval, (at, at), color=colour, linewidth=1.6)
    filled = sign(estimate) != 0
    axes.plot(
        [estimate.value], [at], marker, color=colour, markersize=7, label=label,
        markerfacecolor=colour if filled else PAPER,
    )  # fmt: skip


def _rows(axes: Axes, names: Sequence[str], title: str) -> None:
    axes.axvline(0, color=MUTED, linewidth=1.2, linestyle="--", zorder=0)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_title(title)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: points(value)))


def gains(scores: Scores) -> Drawing | None:
    """Figures 2 and 3: gain of each merge and expert over the 15 % mix, beside the paper's."""
    stages = [s for s in STAGES if scores.has([f"{s}-0", f"{s}-100", f"{s}-15", *merges(s)])]
    if not stages:
        return None
    figure, axes = new_figure(len(stages), 2, 0.5 + 2.7 * len(stages))
    said = []
    for row, stage in zip(axes, stages, strict=True):
        mix = TABLE_1[f"{stage}-15"]
        names = [f"{stage}-0", f"{stage}-100", *merges(stage)]
        for at, name in enumerate(names):
            colour = COLOURS["merge" if name in merges(stage) else "expert"]
            win = scores.estimate("general", {name: 1.0, f"{stage}-15": -1.0})
            harm = scores.estimate("safety", {name: -1.0, f"{stage}-15": 1.0})
            paper = TABLE_1[name]
            for axis, ours, theirs in (
                (row[0], win, paper.win - mix.win), (row[1], harm, mix.harm - paper.harm),
            ):  # fmt: skip
                _line(axis, at - 0.12, ours, colour, "o")
                axis.plot([theirs / 100], [at + 0.22], "x", color=INK, markersize=6)
            said.append(f"{name} win {points(win.value)}, harm {points(harm.value)}")
        short = [name.removeprefix(f"{stage}-") for name in names]
        short[:2] = ["0 % safety", "100 % safety"]
        _rows(row[0], short, f"{stage.upper()}: win gain over the mix")
        _rows(row[1], short, f"{stage.upper()}: harm gain over the mix")
    return Drawing(
        "gains",
        "Figures 2 and 3: merges and experts against the 15 % mix",
        "Right is better, in percentage points. Dots are ours with 95 % intervals, filled where "
        "the interval excludes zero; crosses are the paper’s, whose harm is relative to the base "
        "model’s and ours absolute.",
        "Gains over the mix: " + "; ".join(said) + ".",
        figure,
    )


def by_language(findings: Findings) -> Drawing | None:
    """Figure 4: gain of each DPO merge over the mix in each language."""
    scores, names = findings.test, merges("dpo")
    if not scores.has([*names, "dpo-15"]):
        return None
    figure, ((left, right),) = new_figure(1, 2, 4.6)
    panels: tuple[tuple[Axes, Axis, float, str], ...] = (
        (left, "general", 1.0, "DPO: win gain over the mix"),
        (right, "safety", -1.0, "DPO: harm gain over the mix"),
    )
    for axes, axis, better, title in panels:
        for place, method in enumerate(METHODS):
            formula = {f"dpo-{method}": better, "dpo-15": -better}
            for at, language in enumerate(findings.languages):
                _line(
                    axes, at + 0.18 * (place - 1.5), scores.estimate(axis, formula, language),
                    COLOUR[method], MARKER[method], label=method if at == 0 else None,
                )  # fmt: skip
        _rows(axes, findings.languages, title)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    return Drawing(
        "by-language",
        "Figure 4: DPO merges by language",
        "Gains over the 15 % DPO mix in percentage points; right is better. Hollow: the 95 % "
        "interval holds zero. Intervals are not adjusted for their number.",
        "Gains of the four DPO merges over the mix in each language; the tables have the numbers.",
        figure,
    )


def languages(scores: Scores) -> Drawing | None:
    """Figure 5: three and six monolingual models merged, against the multilingual mix."""
    methods = [
        name.removeprefix("six-") for name in scores.axes["general"].scores if name[:4] == "six-"
    ]
    methods = [m for m in methods if scores.has([f"six-{m}", f"three-{m}", "sft-15"])]
    if not methods:
        return None
    figure, ((left, right),) = new_figure(1, 2, 1.4 + 0.36 * len(methods))
    panels: tuple[tuple[Axes, Axis, float, str], ...] = (
        (left, "general", 1.0, "Win gain over the multilingual mix"),
        (right, "safety", -1.0, "Harm gain over the multilingual mix"),
    )
    for axes, axis, better, title in panels:
        for at, method in enumerate(methods):
            for group, (_, shift, colour) in _GROUPS.items():
                formula = {f"{group}-{method}": better, "sft-15": -better}
                _line(axes, at + shift, scores.estimate(axis, formula), colour, "o")
        _rows(axes, methods, title)
    handles = [
        Line2D([], [], marker="o", color=colour, linestyle="", label=words)
        for words, _, colour in _GROUPS.values()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)
    return Drawing(
        "languages",
        "Figure 5: merging monolingual models",
        "SFT models of one language each, merged by every method that takes more than two, minus "
        "the multilingual 15 % mix; scored on all six languages. Right is better.",
        "Gains of merges of three and of six monolingual models over the mix.",
        figure,
    )


def weights(findings: Findings) -> Drawing | None:
    """Figure 6: both axes over the weight of the safety model, every method."""
    scores = findings.selection
    flat = {
        name: {candidate: w[0] for candidate, w in sweep.weights.items() if len(w) == 1}
        for name, sweep in findings.sweeps.items()
        if name in {*merges("sft"), *merges("dpo")}
    }
    stages = [s for s in STAGES if any(name.startswith(s) and flat[name] for name in flat)]
    if scores is None or not stages:
        return None
    figure, axes = new_figure(len(stages), 2, 0.5 + 2.9 * len(stages))
    for row, stage in zip(axes, stages, strict=True):
        for panel, axis, title in (
            (row[0], "general", "win rate"), (row[1], "safety", "harm rate"),
        ):  # fmt: skip
            _curves(panel, scores, axis, stage, flat)
            panel.set_title(f"{stage.upper()}: {title}")
            panel.set_xlabel("weight of the safety model")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)
    return Drawing(
        "weights",
        "Figure 6: the weight of the safety model",
        "On development items, mean over seeds; bars are 95 % intervals. Dashed: the 15 % mix. "
        "The ends of each curve would be the two experts.",
        "Win rate and harm rate over the safety weight for each method and stage.",
        figure,
    )


def _curves(
    axes: Axes, scores: Scores, axis: Axis, stage: str, flat: Mapping[str, Mapping[str, float]]
) -> None:
    for place, method in enumerate(METHODS):
        tried = flat.get(f"{stage}-{method}", {})
        found = [(w, scores.rate(axis, c)) for c, w in tried.items() if scores.has([c])]
        if not found:
            continue
        x = [weight + 0.006 * (place - 1.5) for weight, _ in found]
        y = [estimate.value for _, estimate in found]
        spread = np.array([[e.value - e.low, e.high - e.value] for _, e in found]).T
        axes.errorbar(
            x, y, yerr=spread, color=COLOUR[method], marker=MARKER[method], markersize=5,
            linewidth=1.4, elinewidth=0.8, label=method,
        )  # fmt: skip
    if scores.has([f"{stage}-15"]):
        mix = scores.rate(axis, f"{stage}-15").value
        axes.axhline(mix, color=MUTED, linewidth=1.2, linestyle="--", label="15 % mix")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0)))


def orders(scores: Scores) -> Drawing | None:
    """Table 2 as a figure: each order on both axes."""
    names = [name for name in (*ORDERS, "sft-15", "dpo-15") if scores.has([name])]
    if len(names) < 4 or "merge-dpo" not in names:
        return None
    figure, ((left, right),) = new_figure(1, 2, 0.9 + 0.42 * len(names))
    shown = [ORDERS.get(name, f"the mix, {name[:3].upper()}") for name in names]
    panels: tuple[tuple[Axes, Axis, str], ...] = (
        (left, "general", "Win rate (right is better)"),
        (right, "safety", "Harm rate (left is better)"),
    )
    for axes, axis, title in panels:
        for at, name in enumerate(names):
            kind = "mixture" if name.endswith("-15") else "merge"
            estimate = scores.rate(axis, name)
            axes.plot(estimate.interval, (at, at), color=COLOURS[kind], linewidth=1.6)
            axes.plot([estimate.value], [at], "o", color=COLOURS[kind], markersize=7)
        axes.set_yticks(range(len(names)), shown if axes is left else [""] * len(names))
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_title(title)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0)))
    return Drawing(
        "orders",
        "Table 2: when to merge",
        "Each order of training and merging with SLERP, weights chosen on development items.",
        "; ".join(shown) + ": the table has the numbers.",
        figure,
    )


def mechanisms(findings: Findings) -> Drawing | None:
    """The gain from merging a pair of languages, against the similarity of their changes."""
    related = [each for each in relations(findings) if each.measure in SHOWN]
    if len(related) != len(SHOWN):
        return None
    figure, row = new_figure(1, len(related), 3.8)
    for axes, each in zip(row[0], related, strict=True):
        x, y = [*each.values.values()], [*each.outcomes.values()]
        axes.plot(x, y, "o", color=COLOURS["merge"])
        axes.axhline(0, color=MUTED, linewidth=1, linestyle="--")
        axes.margins(x=0.12)
        axes.set_title(
            f"correlation {signed(each.association.correlation, 2)}, p {each.association.p:.2f}"
        )
        axes.set_xlabel(SHOWN[each.measure])
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: points(value)))
    row[0][0].set_ylabel("balance over parents, points")
    for axes, each in zip(row[0], related, strict=True):
        dots = [*zip(each.values.values(), each.outcomes.values(), strict=True)]
        names = [axes.text(0, 0, pair, fontsize=8) for pair in each.values]
        left, right = axes.get_xlim()
        place_names(axes, names, dots, [((left, 0.0), (right, 0.0))], MUTED)
    return Drawing(
        "mechanisms",
        "Mechanisms: which pairs of languages gain by merging",
        "One dot a pair, mean over seeds: the merge’s win rate − harm rate minus the mean of its "
        "two parents’.",
        "Balance over parents of every pair of languages against cosine and sign conflict.",
        figure,
    )
