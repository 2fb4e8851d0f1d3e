"""Draw the pictures of docs/concepts.md.

    python -m tools.concepts

The pictures are part of the page and take its text colour, to be readable in light and dark mode:
`INK` becomes ``currentColor``.
"""

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("svg")
from matplotlib import pyplot as plt

from mixmerge.stats.proportions import wilson

FOLDER = Path(__file__).parents[1] / "docs" / "figures" / "concepts"
INK = "#010203"
BLUE, ORANGE, GREEN, GREY = "#4a86e8", "#d9822b", "#2a9d6f", "#8a8a8a"
"""Colours that are readable on white and on black."""
LINES = 'style="stroke-linejoin: round; stroke-linecap: butt; width: 100%; max-width: 42rem"'
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mixmerge",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def weights() -> Any:
    """Draw two weights of a base model, two fine-tunes, and where merges of them lie."""
    figure, axes = plt.subplots(figsize=(6.4, 3.8))
    base, a, b = (0.0, 0.0), (3.0, 0.5), (0.7, 2.6)
    middle, total = ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2), (a[0] + b[0], a[1] + b[1])
    for end, colour, name in ((a, BLUE, "A"), (b, ORANGE, "B")):
        axes.annotate("", end, base, arrowprops={"arrowstyle": "->", "color": colour, "lw": 2})
        axes.plot(*end, "o", color=colour, ms=9)
        axes.annotate(name, end, (8, 4), textcoords="offset points", color=colour, weight="bold")
    axes.plot(*zip(a, b, strict=True), "--", color=GREY, lw=1)
    axes.plot(*base, "o", color=INK, ms=9, zorder=9)
    axes.annotate("base", base, (-34, -4), textcoords="offset points")
    for point, name in (
        (middle, "linear: between A and B"),
        (total, "task arithmetic: A + B"),
    ):
        axes.plot(*point, "D", color=GREEN, ms=9)
        axes.annotate(name, point, (10, -3), textcoords="offset points", color=GREEN)
    axes.set(xlim=(-0.7, 6.3), ylim=(-0.4, 3.6), xlabel="one weight", ylabel="another weight")
    axes.set_xticks([])
    axes.set_yticks([])
    return figure


def elements() -> Any:
    """Draw the changes of six weights in two fine-tunes, and what two methods make of them."""
    a = np.array([1.0, 0.8, -0.9, 0.1, 0.15, 0.7])
    b = np.array([0.9, -0.1, 0.6, 0.9, -0.1, -0.6])
    kept = [np.where(np.abs(change) >= 0.5, change, 0) for change in (a, b)]
    sign = np.sign(kept[0] + kept[1])
    agree = [np.where(change * sign > 0, change, 0) for change in kept]
    count = np.maximum((agree[0] != 0).astype(int) + (agree[1] != 0), 1)
    rows = (
        ("change of A", a, BLUE),
        ("change of B", b, ORANGE),
        ("linear:\ntheir mean", (a + b) / 2, GREEN),
        ("TIES: large changes\nwhose signs agree", (agree[0] + agree[1]) / count, GREEN),
    )
    figure, panels = plt.subplots(len(rows), 1, figsize=(6.4, 4.4), sharex=True, sharey=True)
    for axes, (name, values, colour) in zip(panels, rows, strict=True):
        axes.bar(np.arange(6), values, 0.6, color=colour)
        axes.axhline(0, color=INK, lw=0.8)
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
        axes.set(yticks=[], ylim=(-1.1, 1.1))
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(bottom=False)
    panels[-1].set_xticks(range(6), [f"weight {n + 1}" for n in range(6)], fontsize=9)
    return figure


def axis() -> Any:
    """Draw the parts of an axis: prompts, answers, a judge's verdicts, and a number."""
    figure, axes = plt.subplots(figsize=(5.6, 2.1))
    heads = ("prompt", "answer", "judge", "verdict", "measure")
    rows = (
        ("July or May?", "May", "= May?", "yes: 1", ""),
        ("June or April?", "June", "= April?", "no: 0", "67 %"),
        ("March or May?", "March", "= March?", "yes: 1", "± interval"),
    )
    places = (0.0, 2.2, 3.85, 5.4, 7.0)
    for x, head in zip(places, heads, strict=True):
        axes.text(x, 3.1, head, weight="bold", color=BLUE)
    for y, row in zip((2.2, 1.4, 0.6), rows, strict=True):
        for x, text in zip(places, row, strict=True):
            axes.text(x, y, text, fontsize=10, color=GREEN if x == places[-1] else INK)
    for x in places[1:]:
        axes.text(x - 0.4, 3.1, "→", color=GREY)
    axes.set(xlim=(0, 8.4), ylim=(0.3, 3.6))
    axes.axis("off")
    return figure


def interval() -> Any:
    """Draw the 95 % intervals of forty studies of one model, of which a few miss the truth."""
    rng = np.random.default_rng(12)
    truth, prompts, studies = 0.6, 100, 40
    figure, axes = plt.subplots(figsize=(6.4, 3.0))
    missed = 0
    for study, right in enumerate(rng.binomial(prompts, truth, studies)):
        low, high = wilson(right / prompts, prompts)
        holds = low <= truth <= high
        missed += not holds
        axes.plot([study, study], [100 * low, 100 * high], color=BLUE if holds else ORANGE, lw=2)
        axes.plot(study, right, "o", ms=3.5, color=BLUE if holds else ORANGE)
    axes.axhline(100 * truth, color=INK, lw=1, ls="--")
    axes.annotate("truth", (studies, 100 * truth), (4, -4), textcoords="offset points")
    axes.set(xlabel=f"{studies} studies of {prompts} prompts: {missed} intervals miss", xticks=[])
    axes.set_ylabel("share of right answers, %")
    return figure


def decisions() -> Any:
    """Draw intervals of a difference, and what each says with a margin of three points."""
    rows = (
        ("better", 4, 10, GREEN),
        ("worse", -11, -4, ORANGE),
        ("equivalent", -2, 1.5, BLUE),
        ("not worse", -1.5, 7, BLUE),
        ("undecided", -8, 6, GREY),
    )
    figure, axes = plt.subplots(figsize=(6.4, 2.8))
    axes.axvspan(-3, 3, color=GREY, alpha=0.2, lw=0)
    axes.axvline(0, color=INK, lw=1)
    for y, (name, low, high, colour) in zip(range(len(rows), 0, -1), rows, strict=True):
        axes.plot([low, high], [y, y], color=colour, lw=5, solid_capstyle="butt")
        axes.text(-18.5, y, name, va="center", ha="left", color=colour, weight="bold")
    axes.text(0, 6.5, "margin: ± 3 points", ha="center", fontsize=9)
    axes.set(xlim=(-18.8, 12), ylim=(0.4, 6.4), yticks=[])
    axes.set_xlabel("merge − baseline, in points (right is better)")
    axes.set_xticks([-10, -5, 0, 5, 10])
    axes.spines["left"].set_visible(False)
    return figure


PICTURES: Sequence[Callable[[], Any]] = (weights, elements, axis, interval, decisions)


def svg(draw: Callable[[], Any]) -> str:
    """Return a picture as an SVG element in the page's text colour."""
    with mpl.rc_context({**mpl.rcParamsDefault, **STYLE, "backend": "svg"}):
        figure = draw()
        out = io.StringIO()
        figure.savefig(
            out, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None}
        )
        plt.close(figure)
    text = out.getvalue()[out.getvalue().index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Inside a page, a CSS rule for `*` would apply to the whole page.
    text = re.sub(r"\s*<style.*?</style>", "", text, flags=re.DOTALL)
    label = (draw.__doc__ or "").removeprefix("Draw ").partition("\n")[0]
    text = text.replace("<svg ", f'<svg role="img" aria-label="{label}" {LINES} ', 1)
    # The page sets the width; in Markdown, a blank line would end the element.
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    lines = (line.rstrip() for line in text.replace(INK, "currentColor").splitlines())
    return "\n".join(line for line in lines if line) + "\n"


def main() -> None:
    """Write all pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for draw in PICTURES:
        (FOLDER / f"{draw.__name__}.svg").write_text(svg(draw), encoding="utf-8")


if __name__ == "__main__":
    main()
