"""The page of a search: its front as a table, and its figures; one HTML file without any other."""

from pathlib import Path

from markupsafe import Markup

from mixmerge.files import write_text
from mixmerge.records import Axis
from mixmerge.reporting import figures, formats
from mixmerge.reporting.page import environment, inside
from mixmerge.searching.figures import plots
from mixmerge.searching.result import Member, SearchResult
from mixmerge.searching.terminal import closing, recipe


def write_page(result: SearchResult, page: Path) -> None:
    """Write the page; the same result gives the same bytes.

    Raises:
        ResourceError: the disk is full or the folder is not writable.
    """
    with figures.style():
        drawn = [(plot, figures.to_svg(plot.figure)) for plot in plots(result)]

    def value(member: Member, axis: Axis) -> tuple[str, str]:
        info, own = result.axes[axis], member.axes[axis]
        return formats.value(info, own.value), formats.interval(info, own.ci)

    engine = environment("mixmerge.searching")
    engine.filters |= {"percent": lambda share: formats.percent(share, 0), "recipe": recipe}
    text = engine.get_template("search.html.j2").render(
        result=result,
        sentences=closing(result),
        value=value,
        better=formats.better,
        drawings=[
            # Matplotlib escapes the names that it writes; nothing else in the SVG is user text.
            (plot, Markup(figures.inline_svg(svg, f"s{n}")))  # noqa: S704
            for n, (plot, svg) in enumerate(drawn)
        ],
        **inside("report.css", "theme.js"),
    )
    write_text(page, text)
