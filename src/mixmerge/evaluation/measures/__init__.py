"""Measures: what a verdict is worth, and what the number of an axis is.

To add one, write a file like `mixmerge.evaluation.measures.rate` and name its class here.
"""

from typing import TYPE_CHECKING

from mixmerge.evaluation.measures.mean import Mean
from mixmerge.evaluation.measures.measure import Measure
from mixmerge.evaluation.measures.rate import Rate
from mixmerge.evaluation.measures.win_rate import WinRate
from mixmerge.spec_model import one_of

__all__ = ["MEASURES", "Measure", "MeasureSpec"]

MEASURES: dict[str, type[Measure]] = {
    measure.key: measure
    for measure in (
        WinRate,
        Rate,
        Mean,
    )
}
"""By the key that tells them apart in a study file."""

if TYPE_CHECKING:
    MeasureSpec = Measure
else:
    MeasureSpec = one_of(MEASURES, "measure")
    """``win_rate``, ``{rate: harmful}``, ``{mean: [0, 10]}``, …"""
