"""Names beside the points of a figure, placed so that they hide neither points nor each other.

Places are computed in pixels, y upwards. Each name tries places on rings around its point and takes
the cheapest; a few rounds let early names make room for later ones. The order of the points decides
ties, so the same points give the same places.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.text import Text

_ANGLES = 16
_RINGS = (7.0, 13.0, 21.0, 31.0, 44.0, 60.0, 80.0)
_ROUNDS = 8
_MARKER = 6.0
"""Half the side of the square that a marker keeps free."""
_FAR = 16
"""From this many pixels on a line joins a name and its point."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "Box") -> float:
        """Return the shared area."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    def outside(self, frame: "Box") -> float:
        """Return the area of this box that lies outside ``frame``."""
        return (self.right - self.left) * (self.top - self.bottom) - self.overlap(frame)

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """Return the point of the box nearest to (x, y)."""
        return min(max(x, self.left), self.right), min(max(y, self.bottom), self.top)

    def distance(self, x: float, y: float) -> float:
        """Return the distance from (x, y) to the box."""
        return math.dist((x, y), self.nearest(x, y))


def place_labels(
    points: list[Point], sizes: Sequence[Point], frame: Box, bars: Sequence[Box] = ()
) -> list[Box]:
    """Find a box for the label of each point, in order.

    Labels never leave the frame; bars, such as those of errors, are better left free.
    """
    candidates = [_candidates(point, size) for point, size in zip(points, sizes, strict=True)]
    fixed = [
        [(box, _fixed_cost(distance, box, index, points, frame, bars)) for distance, box in options]
        for index, options in enumerate(candidates)
    ]
    places = [options[0][0] for options in fixed]
    for _ in range(_ROUNDS):
        before = list(places)
        for index, options in enumerate(fixed):
            others = places[:index] + places[index + 1 :]
            costs = [cost + 10 * sum(box.overlap(o) for o in others) for box, cost in options]
            places[index] = options[costs.index(min(costs))][0]
        if places == before:
            break
    return places


def _fixed_cost(
    distance: float, box: Box, index: int, points: list[Point], frame: Box, bars: Sequence[Box]
) -> float:
    """Return the cost of a place that does not depend on the other labels."""
    markers = [Box(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER) for x, y in points]
    own = box.distance(*points[index])
    others = [box.distance(*point) for point in points[:index] + points[index + 1 :]]
    # A name that is about as near to another point will be read as that point's.
    misleading = sum(other < own + 4 for other in others)
    return (
        distance
        + 40 * misleading
        + 50 * box.outside(frame)
        + 10 * sum(box.overlap(marker) for marker in markers)
        + 1.2 * sum(box.overlap(bar) for bar in bars)
    )


def _candidates(point: Point, size: tuple[float, float]) -> list[tuple[float, Box]]:
    (x, y), (width, height) = point, size
    corners = [
        (ring, x + right - width / 2, y + up - height / 2)
        for ring in _RINGS
        for right, up in _directions(ring, width, height)
    ]
    return [(ring, Box(x, y, x + width, y + height)) for ring, x, y in corners]


def _directions(ring: float, width: float, height: float) -> Iterator[Point]:
    """Yield offsets of the label's centre for which the label's edge touches the ring."""
    # Between the arms of a cross of error bars first: there nothing is crossed out.
    for right, up in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        yield right * (0.5 * ring + width / 2), up * (0.5 * ring + height / 2)
    for step in range(_ANGLES):
        angle = 2 * math.pi * step / _ANGLES
        yield math.cos(angle) * (ring + width / 2), math.sin(angle) * (ring + height / 2)


def place_names(
    axes: Axes,
    names: Sequence[Text],
    points: Sequence[Point],
    lines: Sequence[tuple[Point, Point]],
    colour: str,
) -> None:
    """Move names to their points; from then on the figure's layout is fixed.

    All else that the figure shows is drawn already. Lines, such as error bars, are better not
    crossed; they and the points are in the units of the axes. A line of the colour joins a name to
    a point far from it.
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
