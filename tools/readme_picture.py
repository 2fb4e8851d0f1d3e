"""Draw the picture of the README: the front of a run, with its verdict and advice.

    python -m tools.readme_picture RUN docs/figures/demo.svg

One SVG, 800 pixels wide, with real text. It has its own background, and the report's dark colours
if the reader's system is dark, so that it is readable on any page.
"""

import re
import textwrap
from html import escape
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from mixmerge.files import read_json, write_text
from mixmerge.records.results import Results, read_results
from mixmerge.reporting import figures
from mixmerge.reporting.advice import tell
from mixmerge.reporting.models import stage_name, stages
from mixmerge.reporting.planes import plane
from mixmerge.reporting.verdict import conclude

WIDTH, COLUMN, SIDE, EDGE = 800, 316, 436, 20
"""Widths in pixels of the picture, the text, the plane and the margins."""
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_STYLES = {
    "headline": (19, "--ink", 700),
    "take": (17, "--merge", 700),
    "more": (14, "--muted", 400),
}
"""Size, colour and weight of each kind of paragraph."""


def picture(results: Results) -> str:
    """Return the SVG of a run whose results have advice and at least two deciding axes.

    Raises:
        ValueError: the results lack them, or no model has both axes.
    """
    told, axes = tell(results), list(results.deciding)
    if told is None or len(axes) < 2 or not results.advice:
        raise ValueError("a run with advice and at least two deciding axes is required")
    chosen = results.models.get(results.advice.choice or "")
    stage = (chosen.stage if chosen else None) or stages(results)[-1]
    # The base model and other stages are too far from the models of this stage.
    shown = {name: model for name, model in results.models.items() if model.stage == stage}
    with figures.style():
        only = results.model_copy(update={"models": shown})
        drawn = plane(only, stage, (axes[0], axes[1]))
        if drawn is None:
            raise ValueError(f"no model of {stage} has both {axes[0]} and {axes[1]}")
        svg = figures.inline_svg(figures.to_svg(drawn.figure), "plane")
    words = [
        ("headline", conclude(results).headline),
        ("take", told.take.sentence),
        *(("more", step.sentence) for step in told.otherwise),
        ("more", told.why[0]),
        ("more", f"Shown: models of the stage {stage_name(stage)} with 95 % intervals."),
    ]
    text, height = _column([(style, said.replace("`", "")) for style, said in words])
    height = max(height, SIDE + 2 * EDGE)
    place = f'x="{WIDTH - SIDE - EDGE}" y="{EDGE}" width="{SIDE}" height="{height - 2 * EDGE}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">\n'
        f"<title>{escape(words[0][1])}</title>\n<desc>{escape(drawn.alt)}</desc>\n"
        f"<style>{_colours()} text {{ font-family: {_FONT} !important; }}</style>\n"
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" '
        f'fill="var(--paper)" stroke="var(--line)"/>\n{text}\n'
        f"{svg.replace('<svg ', f'<svg {place} ', 1)}</svg>\n"
    )


def _column(words: list[tuple[str, str]]) -> tuple[str, int]:
    """Return the paragraphs as lines of text, and where they end."""
    lines, y = list[str](), EDGE
    for style, said in words:
        size, colour, weight = _STYLES[style]
        # A letter is a little over half as wide as high.
        for line in textwrap.wrap(said, int(COLUMN / size / 0.54)):
            y += round(size * 1.35)
            lines.append(
                f'<text x="{EDGE}" y="{y}" font-size="{size}" font-weight="{weight}" '
                f'fill="var({colour})">{escape(line)}</text>'
            )
        y += 12
    return "\n".join(lines), y + EDGE


def _colours() -> str:
    """Return the report's colours, light and dark."""
    static = resources.files("mixmerge.reporting").joinpath("static", "report.css")
    sheet = static.read_text("utf-8")
    light, dark = (
        "".join(re.findall(r"--[\w-]+: #\w+;", sheet[sheet.index(start) :].partition("}")[0]))
        for start in (":root {", ':root[data-theme="dark"] {')
    )
    return f":root {{ {light} }} @media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


def main(
    run: Annotated[Path, typer.Argument(help="A run folder, such as that of `mixmerge demo`.")],
    out: Annotated[Path, typer.Argument(help="The SVG file.")],
) -> None:
    """Draw the picture of a finished run."""
    file = run / "results.json"
    write_text(out, picture(read_results(read_json(file), str(file))))


if __name__ == "__main__":
    typer.run(main)
