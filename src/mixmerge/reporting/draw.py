"""Figures as bytes: PNG and SVG files, and SVG that takes its colours from the page."""

import io
import re

from matplotlib.figure import Figure

from mixmerge.reporting.figures import COLOURS, GRID, INK, MUTED, PAPER

_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--line)",
    PAPER: "var(--paper)",
    **{colour: f"var(--{kind})" for kind, colour in COLOURS.items()},
}


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
    get ``prefix``, so that several figures share a page. The element is hidden from screen
    readers: the page gives the figure's words.
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
