"""The two figures of the page of results: one plane, and where the sign flips."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from mixmerge.reporting.figures import INK, MUTED
from mixmerge.reporting.formats import percent, points
from paper.figures import COLOUR, MARKER, Drawing, new_figure
from paper.matched import Comparison
from paper.scores import Scores

_SIZE = 900.0
"""Area of a mark, in square points, at an over-refusal of 100 %."""


def plane(scores: Scores, paths: Mapping[str, Sequence[str]]) -> Drawing:
    """Win rate against harm: the experts, the mix, and every method along its weights.

    Args:
        scores: of one world.
        paths: by method, the merges from the smallest to the largest weight.
    """
    figure, ((axes,),) = new_figure(1, 1, 5.2)
    for method, path in paths.items():
        spots = [_spot(scores, name) for name in path]
        axes.plot(*zip(*spots, strict=True), color=COLOUR[method], linewidth=1.6, label=method)
        _dots(axes, scores, path, COLOUR[method], MARKER[method])
    for name, words, colour in (
        ("sft-0", "0 %", MUTED),
        ("sft-15", "15 % mix", INK),
        ("sft-100", "100 %", MUTED),
    ):
        _dots(axes, scores, [name], colour, "o")
        axes.annotate(
            words, _spot(scores, name), (7, 7), textcoords="offset points", color=INK, fontsize=9.5,
            fontweight="bold",
        )  # fmt: skip
    axes.set_xlabel("harm rate (left is better)")
    axes.set_ylabel("win rate against the base model")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0)))
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    base = scores.base_harm
    said = "; ".join(
        f"{name} win {percent(y)}, harm {percent(x)}"
        for name in ("sft-0", "sft-15", "sft-100")
        for x, y in [_spot(scores, name)]
    )
    return Drawing(
        "plane",
        "Merges along their weights, and the mix",
        "Large marks are means over seeds, their area the share of harmless requests that are "
        "refused; a small dot is one seed. A line is one method from weight 0 to 1 of the "
        "safety model. "
        f"The base model's harm rate is {percent(base)}.",
        f"Win rate against harm rate: {said}; merges run from the 0 % to the 100 % model.",
        figure,
    )


def _spot(scores: Scores, name: str) -> tuple[float, float]:
    return scores.rate("safety", name).value, scores.rate("general", name).value


def _dots(axes: Axes, scores: Scores, names: Sequence[str], colour: str, marker: str) -> None:
    """Draw each model's mean, and a dot for each of its seeds."""
    for name in names:
        x, y = (scores.by_seed(axis, {name: 1.0}) for axis in ("safety", "general"))
        axes.scatter(x, y, s=7, color=colour, alpha=0.35, linewidths=0)
        refused = float(scores.by_seed("over_refusal", {name: 1.0}).mean())
        axes.scatter(
            [x.mean()], [y.mean()], s=12 + _SIZE * refused, color=colour, alpha=0.75, marker=marker,
            edgecolors="none", zorder=3,
        )  # fmt: skip


def flip(rows: Sequence[Comparison], shares: Sequence[int]) -> Drawing:
    """Merges minus the mix, at the mix's harm, by the share of contrasts in the safety data.

    Args:
        rows: of every method, one for each share.
        shares: of contrasts, in percent.
    """
    figure, (row,) = new_figure(1, 2, 3.9)
    panels = (
        (row[0], "Win rate − mix (above 0: merge)", [each.win for each in rows]),
        (row[1], "Over-refusal − mix (below 0: merge)", [each.over_refusal for each in rows]),
    )
    methods = list(dict.fromkeys(each.method for each in rows))
    for axes, title, found in panels:
        for place, method in enumerate(methods):
            own = [at for each, at in zip(rows, found, strict=True) if each.method == method]
            where = np.array(shares) + 1.2 * (place - 0.5)
            for x, at in zip(where, own, strict=True):
                axes.scatter(
                    np.full(at.seeds, x), at.by_seed, s=8, color=COLOUR[method], alpha=0.4,
                    linewidths=0,
                )  # fmt: skip
                if at.difference is not None:
                    axes.plot((x, x), at.difference.interval, color=COLOUR[method], linewidth=1.4)
            values = [at.difference.value if at.difference else np.nan for at in own]
            axes.plot(
                where, values, color=COLOUR[method], marker=MARKER[method], markersize=6,
                linewidth=1.2, label=method,
            )  # fmt: skip
        axes.axhline(0, color=MUTED, linewidth=1.2, linestyle="--", zorder=0)
        axes.set_title(title)
        axes.set_xticks(shares, [f"{share} %" for share in shares])
        axes.set_xlabel("harmless contrasts in the safety data")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: points(value)))
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    said = "; ".join(
        f"{each.where} {each.method} {points(each.win.difference.value)}"
        for each in rows
        if each.win.difference
    )
    return Drawing(
        "contrasts",
        "Where does the sign flip?",
        "Points, at the mix's own harm: merges of the 0 % and the 100 % model minus the 15 % mix "
        "of the same safety data. Bars are 95 % intervals for new seeds and questions, small dots "
        "single seeds.",
        f"Win rate of merges minus the mix at its harm: {said}.",
        figure,
    )
