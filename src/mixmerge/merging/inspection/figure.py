"""The figure of an inspection: differences by layer."""

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixmerge.errors import SpecError
from mixmerge.files import write_bytes
from mixmerge.merging.inspection.measurements import DOT_THRESHOLD
from mixmerge.merging.inspection.result import (
    Comparison,
    Difference,
    Inspection,
    Interference,
    Part,
)
from mixmerge.merging.models.layout import place

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FORMATS = (".png", ".svg", ".pdf")
_INK, _MUTED, _GRID = "#1f2328", "#57606a", "#d8dee4"
# Okabe and Ito's colours, distinguishable with any colour vision.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
_MOST_LINES = 6
"""A longer legend is placed next to its panel."""
_LONGEST_NAME = 20
"""Longer names are cut at the start."""
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titlecolor": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "text.color": _INK,
    "text.parse_math": False,  # folder names may contain dollar signs
    "svg.fonttype": "none",
    "svg.hashsalt": "mixmerge",
}


_Pairs = list[tuple[str, int]]
"""Label of two models, and their index among the pairs."""
_Value = Callable[[Part, int], float | None]


@dataclass(frozen=True)
class _Panel:
    title: str
    lines: list[tuple[str, list[float | None]]]
    """Label, and a value for each layer."""
    percent: bool = False
    reference: tuple[float, str] | None = None
    """A value to mark, and its meaning."""
    limits: tuple[float, float] | None = None
    """Minimum range of the vertical axis, so that small differences look small."""


def check_figure(file: Path, models: int, *, headers_only: bool) -> None:
    """Check that a figure can be drawn, before any weight is read.

    Raises:
        SpecError: the file's type is unknown, or there is nothing to draw.
    """
    if file.suffix.lower() not in _FORMATS:
        raise SpecError(f"{file}: a figure is a {', '.join(_FORMATS)} file.")
    if models < 2 or headers_only:
        raise SpecError(
            f"{file}: a figure compares the weights of at least two models; "
            "name another model, and leave out --headers-only."
        )


def draw(inspection: Inspection, file: Path) -> None:
    """Draw a comparison by layer as PNG (200 dpi), SVG or PDF, without a display.

    Raises:
        ResourceError: the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    assert inspection.comparison is not None
    parts = inspection.comparison.layers or inspection.comparison.tensors
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # Characters missing from the font are boxes in PNG and PDF, but correct in SVG.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        panels = _panels(inspection.comparison, parts, inspection.base)
        figure = Figure(figsize=(7.2, 0.6 + 2.3 * len(panels)), layout="constrained")
        FigureCanvasAgg(figure)
        every = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(every, panels, strict=True):
            _draw_panel(axes, panel)
        _name_layers(every[-1], parts)
        out = io.BytesIO()
        kind = file.suffix.lower().removeprefix(".")
        date = {"png": "Software", "svg": "Date", "pdf": "CreationDate"}[kind]
        # No date, so that the same models give the same bytes.
        figure.savefig(out, format=kind, dpi=200, metadata={date: None})
    write_bytes(file, out.getvalue())


def _panels(comparison: Comparison, parts: Sequence[Part], base: str | None) -> list[_Panel]:
    whole, small = comparison.whole, {"percent": True, "limits": (0.0, 0.001)}
    weights, changes = _numbered(whole.differences), _numbered(whole.interferences)

    def panel(title: str, pairs: _Pairs, value: _Value, **how: Any) -> _Panel:
        lines = [(label, [value(part, number) for part in parts]) for label, number in pairs]
        return _Panel(title, lines, **how)

    def size(part: Part, number: int) -> float | None:
        return part.differences[number].relative_size

    if base is None:
        cosine, known = "Cosine of the weights", (DOT_THRESHOLD, "SLERP is linear above")
        return [
            panel("Size of the difference, relative to the first", weights, size, **small),
            panel(cosine, weights, lambda part, n: part.differences[n].cosine, reference=known),
        ]
    models = [(_short(e.second), n) for n, e in enumerate(whole.differences) if e.first == base]
    panels = [
        panel(f"Size of the change, relative to {base}", models, size, **small),
        panel(
            "Cosine of the changes",
            changes,
            lambda part, n: part.interferences[n].cosine,
            reference=(0.0, "perpendicular"),
            limits=(-0.1, 1.0),
        ),
        panel(
            "Sign conflict: share of what both move",
            changes,
            lambda part, n: part.interferences[n].opposed,
            percent=True,
            reference=(0.5, "chance"),
            limits=(0.0, 0.6),
        ),
    ]
    return [each for each in panels if each.lines]


def _numbered(pairs: Sequence[Difference | Interference]) -> _Pairs:
    return [(f"{_short(e.first)} · {_short(e.second)}", n) for n, e in enumerate(pairs)]


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else "…" + name[1 - _LONGEST_NAME :]


def _draw_panel(axes: "Axes", panel: _Panel) -> None:
    from matplotlib.ticker import PercentFormatter

    for (label, values), colour, marker in zip(
        panel.lines, cycle(_COLOURS), cycle(_MARKERS), strict=False
    ):
        heights = [float("nan") if value is None else value for value in values]
        axes.plot(heights, marker=marker, color=colour, label=label, markersize=4, linewidth=1.2)
    title = panel.title
    if panel.reference:
        height, meaning = panel.reference
        axes.axhline(height, color=_MUTED, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        title = f"{title} (dashed: {meaning})"
    if panel.percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    if panel.limits:
        (low, high), (least, most) = axes.dataLim.intervaly, panel.limits
        margin = 0.05 * (max(high, most) - min(low, least))
        axes.set_ylim(
            low - margin if low < least else least, high + margin if high > most else most
        )
    axes.set_title(title)
    if len(panel.lines) <= _MOST_LINES:
        axes.legend(frameon=False, fontsize=8, loc="best")
    else:
        axes.legend(frameon=False, fontsize=6, loc="upper left", bbox_to_anchor=(1, 1))


def _name_layers(axes: "Axes", parts: Sequence[Part]) -> None:
    """Label the horizontal axis with layer numbers and stacks."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    layers = [place(part.name) for part in parts]
    stacks = dict.fromkeys(layer.stack.rstrip(".") for layer in layers if layer)

    def name(position: float, _: object) -> str:
        number = round(position)
        if not 0 <= number < len(layers):
            return ""
        layer = layers[number]
        return str(layer.layer) if layer else parts[number].name

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(FuncFormatter(name))
    axes.set_xlabel("Layer of " + ", then of ".join(stacks) if stacks else "Tensor")
