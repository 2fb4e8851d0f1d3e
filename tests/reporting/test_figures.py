"""Figures keep their words inside their edges."""

from collections.abc import Callable

from mixmerge.reporting.figures import differences, style, values
from mixmerge.reporting.input import ReportInput


def test_a_long_heading_stays_within_the_figure(make_given: Callable[..., ReportInput]) -> None:
    """What an axis measures is wrapped where it is longer than the figure is wide."""
    results = make_given(["code"]).results
    info = results.axes["code"].model_copy(update={"title": "tests that pass " * 8})
    results = results.model_copy(update={"axes": {"code": info}})
    with style():
        for plot in (
            values(results, "given", "code"),
            differences(results, "given", "code"),
        ):
            assert plot is not None
            plot.figure.draw_without_rendering()
            words = plot.figure.axes[0].xaxis.label.get_window_extent()
            assert plot.figure.bbox.x0 <= words.x0 < words.x1 <= plot.figure.bbox.x1
            assert plot.figure.bbox.y0 <= words.y0
