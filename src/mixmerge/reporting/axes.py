"""What the values of an axis are called, and how they are written, in tables and sentences."""

import math

from mixmerge.records import Axis
from mixmerge.records.results import AxisInfo, Interval, Results
from mixmerge.reporting import formats
from mixmerge.reporting.cells import ABSENT, Cell


def heading(results: Results, axis: Axis) -> str:
    """Return what stands over the values of an axis: its name and what was measured."""
    title = results.axes[axis].title
    return axis if axis.lower() == title.lower() else f"{axis}: {title}"


def phrase(results: Results, axis: Axis) -> str:
    """Return the axis within a sentence, with its name where several could be meant."""
    own = results.axes[axis].phrase
    same = sum(info.phrase == own for info in results.axes.values())
    return own if same == 1 and len(results.deciding) <= 2 else f"{own} on {axis}"


def better(info: AxisInfo) -> str:
    """Say which direction is good."""
    return f"{info.better} is better"


def on_all(results: Results) -> str:
    """Return `` on both axes`` or `` on all 3 axes``, of those that decide; nothing for one."""
    number = len(results.deciding)
    return "" if number < 2 else " on both axes" if number == 2 else f" on all {number} axes"


def value(info: AxisInfo, found: float) -> str:
    """Write a value of the axis."""
    if info.unit == "percent":
        return formats.percent(found)
    return formats.decimal(found, _digits(info))


def interval(info: AxisInfo, ci: Interval) -> str:
    """Write an interval of values."""
    return (
        formats.percent_interval(ci)
        if info.unit == "percent"
        else " to ".join(value(info, end) for end in ci)
    )


def difference(info: AxisInfo, found: float) -> str:
    """Write a difference of two values with its sign: percentage points, or units of the score."""
    return formats.points(found) if info.unit == "percent" else formats.signed(found, _digits(info))


def difference_interval(info: AxisInfo, ci: Interval) -> str:
    """Write the interval of a difference."""
    return " to ".join(difference(info, end) for end in ci)


def points(info: AxisInfo) -> str:
    """Return what follows the heading of differences: percentage points must be told from %."""
    return ", points" if info.unit == "percent" else ""


def value_cell(
    info: AxisInfo, found: float, ci: Interval | None = None, *, emphasis: bool = False
) -> Cell:
    """Return a value with its interval."""
    return Cell(value(info, found), found, ci, interval(info, ci) if ci else "", emphasis)


def difference_cell(info: AxisInfo, found: float | None, ci: Interval | None = None) -> Cell:
    """Return a difference with its interval."""
    if found is None:
        return ABSENT
    return Cell(difference(info, found), found, ci, difference_interval(info, ci) if ci else "")


def relative_cell(found: float | None, ci: Interval | None, *, emphasis: bool = False) -> Cell:
    """Return a change relative to the base model's value."""
    if found is None:
        return ABSENT
    interval = formats.points_interval(ci) if ci else ""
    return Cell(formats.change(found), found, ci, interval, emphasis)


def _digits(info: AxisInfo) -> int:
    """Return how many decimals show a thousandth of the scale."""
    low, high = info.bounds
    return max(0, 3 - math.ceil(math.log10(high - low)))
