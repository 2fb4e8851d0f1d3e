"""Place names beside the points of a figure so that they hide neither points nor each other.

Places are in pixels, y upwards. Each name takes the cheapest place on rings around its point; a few
rounds let early names make room for later ones. The order of the points breaks ties, so the same
points give the same places.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text
from numpy.typing import NDArray

_ANGLES = 16
_RINGS = (7.0, 13.0, 21.0, 31.0, 44.0, 60.0, 80.0)
_ROUNDS = 8
_MARKER = 6.0
"""Half the side of the square around a marker that stays free."""
_FAR = 16
"""From this distance in pixels, a line joins a name and its point."""

Point = tuple[float, float]
Floats = NDArray[np.float64]


def overlap(boxes: Floats, others: Floats) -> Floats:
    """Return the area that boxes share: left, bottom, right and top, on the last axis of both."""
    low = np.maximum(boxes[..., :2], others[..., :2])
    shared: Floats = np.maximum(np.minimum(boxes[..., 2:], others[..., 2:]) - low, 0.0).prod(-1)
    return shared


def place_labels(points: Floats, sizes: Floats, frame: Floats, bars: Floats) -> Floats:
    """Return a box for the label of each point, in order, shape (points, 4).

    Labels stay inside the frame; the boxes ``bars``, such as error bars, are avoided if possible.
    The shape of points and of sizes, which are widths and heights, is (points, 2).
    """
    options = _options(points, sizes)
    fixed = _fixed_costs(options, points, frame, bars)
    everyone = np.arange(len(points))
    chosen = np.zeros(len(points), dtype=np.intp)
    for _ in range(_ROUNDS):
        before = chosen.copy()
        for index in everyone:
            others = np.delete(options[everyone, chosen], index, axis=0)
            crowded = overlap(options[index, :, None], others).sum(axis=-1)
            chosen[index] = np.argmin(fixed[index] + 10 * crowded)
        if (chosen == before).all():
            break
    places: Floats = options[everyone, chosen]
    return places


def _options(points: Floats, sizes: Floats) -> Floats:
    """Return boxes whose edges touch the rings around each point, shape (points, places, 4)."""
    angles = 2 * np.pi * np.arange(_ANGLES) / _ANGLES
    # Prefer the corners between two error bars, where no bar crosses the name.
    corners = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    directions = np.vstack([corners, np.column_stack([np.cos(angles), np.sin(angles)])])
    nearer = np.repeat([0.5, 1.0], [len(corners), _ANGLES])
    reach = np.multiply.outer(_RINGS, nearer)[..., None]
    half = sizes[:, None, None] / 2
    low = points[:, None, None] + directions * (reach + half) - half
    return np.concatenate([low, low + 2 * half], axis=-1).reshape(len(points), -1, 4)


def _fixed_costs(boxes: Floats, points: Floats, frame: Floats, bars: Floats) -> Floats:
    """Return the costs of places that do not depend on the other labels."""
    near = np.clip(points, boxes[:, :, None, :2], boxes[:, :, None, 2:])
    distance = np.hypot(*np.moveaxis(near - points, -1, 0))
    own = np.einsum("pbp->pb", distance)[..., None]
    # A name about as near to another point would be read as that point's.
    misleading = (distance < own + 4).sum(axis=-1) - 1
    outside = (boxes[..., 2:] - boxes[..., :2]).prod(-1) - overlap(boxes, frame)
    markers = np.hstack([points - _MARKER, points + _MARKER])
    hidden, crossed = (overlap(boxes[:, :, None], each).sum(-1) for each in (markers, bars))
    rings = np.repeat(_RINGS, _ANGLES + 4)
    costs: Floats = rings + 40 * misleading + 50 * outside + 10 * hidden + 1.2 * crossed
    return costs


def place_names(
    axes: Axes,
    names: Sequence[Text],
    points: Sequence[Point],
    lines: Sequence[tuple[Point, Point]],
    colour: str,
) -> None:
    """Move names to their points; this fixes the figure's layout.

    Call it after everything else is drawn. Names avoid the lines, such as error bars; lines and
    points are in the units of the axes. A line of the given colour joins a name to a point far from
    it.
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        raise AssertionError("axes without a figure")
    for name in names:
        name.set_in_layout(False)
    figure.draw_without_rendering()
    # Places are computed in this layout's pixels, so nothing may move from here on.
    figure.set_layout_engine("none")
    spots = axes.transData.transform(points)
    sizes = np.array([name.get_window_extent().size for name in names])
    ends = axes.transData.transform(np.reshape(lines, (-1, 2))).reshape(-1, 2, 2)
    bars = np.hstack([ends.min(axis=1) - 1, ends.max(axis=1) + 1])
    to_data = axes.transData.inverted()
    boxes = place_labels(spots, sizes, np.array(axes.bbox.extents), bars)
    for name, box, spot in zip(names, boxes, spots, strict=True):
        # The extent of a text starts below its baseline; `bottom` alignment makes them agree.
        name.set(verticalalignment="bottom", position=to_data.transform(box[:2]))
        near = np.clip(spot, box[:2], box[2:])
        if np.abs(near - spot).sum() > _FAR:
            joined = to_data.transform([spot, near])
            axes.plot(*joined.T, color=colour, linewidth=0.7, zorder=2.5)
