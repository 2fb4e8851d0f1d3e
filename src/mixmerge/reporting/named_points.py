"""Names beside the points of a figure, placed so that they hide neither points nor each other."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.text import Text

from mixmerge.reporting.labels import Box, place_labels

_FAR = 16
"""From this many pixels on a line joins a name and its point."""

Point = tuple[float, float]


def place_names(
    axes: Axes,
    names: Sequence[Text],
    points: Sequence[Point],
    lines: Sequence[tuple[Point, Point]],
    colour: str,
) -> None:
    """Move names to their points; from then on the figure's layout is fixed.

    Args:
        axes: where names and points are, with all else that the figure shows drawn already.
        names: texts of the axes, one for each point.
        points: in the units of the axes.
        lines: better not crossed, such as error bars: both ends, in the units of the axes.
        colour: of the line from a name to a point far from it.
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        raise AssertionError("axes without a figure")
    for name in names:
        name.set_in_layout(False)
    figure.draw_without_rendering()
    # From here on nothing may move: places are computed in this layout's pixels.
    figure.set_layout_engine("none")
    spots = [(float(x), float(y)) for x, y in axes.transData.transform(points)]
    sizes = [(name.get_window_extent().width, name.get_window_extent().height) for name in names]
    edge = axes.bbox
    frame = Box(edge.x0, edge.y0, edge.x1, edge.y1)
    bars = [_thin_box(*axes.transData.transform(line).tolist()) for line in lines]
    to_data = axes.transData.inverted()
    for name, box, (x, y) in zip(
        names, place_labels(spots, sizes, frame, bars), spots, strict=True
    ):
        # The extent of a text starts below its baseline; `bottom` alignment makes them agree.
        name.set_verticalalignment("bottom")
        left, bottom = to_data.transform((box.left, box.bottom))
        name.set_position((left, bottom))
        near_x, near_y = box.nearest(x, y)
        if abs(near_x - x) + abs(near_y - y) > _FAR:
            ends = to_data.transform([(x, y), (near_x, near_y)])
            axes.plot(*zip(*ends, strict=True), color=colour, linewidth=0.7, zorder=2.5)


def _thin_box(start: Point, end: Point) -> Box:
    (left, right), (bottom, top) = (sorted(pair) for pair in zip(start, end, strict=True))
    return Box(left - 1, bottom - 1, right + 1, top + 1)
