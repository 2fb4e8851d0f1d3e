"""Format estimates for the tables of the page."""

from dataclasses import replace

from mixmerge.reporting import formats
from mixmerge.reporting.cells import ABSENT, Cell
from mixmerge.stats.estimate import Estimate
from paper.claims import has_spread, sign

INTERVALS = (
    "Intervals are 95 %, for new training seeds and new questions. Differences are in percentage "
    "points on the same questions; bold where the interval excludes zero. Where all answers agree "
    "there is no spread to make an interval from, so none is shown."
)


def rate(estimate: Estimate) -> Cell:
    """Return a rate in percent with its interval.

    If every answer was the same there is no interval.
    """
    ends = formats.ends(estimate.interval, formats.bare_percent)
    return _with_interval(formats.percent(estimate.value), estimate, ends)


def points(estimate: Estimate) -> Cell:
    """Return a number in points with its interval."""
    return _with_interval(formats.points(estimate.value), estimate, _ends(estimate))


def _with_interval(text: str, estimate: Estimate, ends: str) -> Cell:
    if not has_spread(estimate):
        return Cell(text, estimate.value)
    return Cell(text, estimate.value, estimate.interval, ends)


def relative(estimate: Estimate) -> Cell:
    """Return a relative change in percent with its interval."""
    return _with_interval(formats.change(estimate.value), estimate, _ends(estimate))


def difference(estimate: Estimate | None) -> Cell:
    """Return a difference in points; bold where its interval excludes zero."""
    if estimate is None:
        return ABSENT
    return replace(points(estimate), emphasis=sign(estimate) != 0)


def _ends(estimate: Estimate) -> str:
    return formats.ends(estimate.interval, formats.points)


def in_words(estimate: Estimate) -> str:
    """Return a difference in points with its interval, for a sentence."""
    ends = f" ({_ends(estimate)})" if has_spread(estimate) else ""
    return f"{formats.points(estimate.value)}{ends}"
