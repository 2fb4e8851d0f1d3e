"""Measures: what a verdict is worth, and what the number of an axis is.

To add one, write a file like `mixmerge.evaluation.measures.rate` and name it in `_FILES`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from mixmerge.evaluation.measures.measure import Measure
from mixmerge.records.results import Better
from mixmerge.spec_model import SpecModel, one_of

__all__ = ["MEASURES", "Measure", "MeasureSpec", "MeasuredAxis"]

_FILES = (
    "win_rate",
    "rate",
    "mean",
)

MEASURES: dict[str, type[Measure]] = {
    file: import_module(f"{__name__}.{file}").MEASURE for file in _FILES
}
"""By the key that tells them apart in a study file."""

if TYPE_CHECKING:
    MeasureSpec = Measure
else:
    MeasureSpec = one_of(MEASURES, "measure")
    """``win_rate``, ``{rate: harmful}``, ``{mean: [0, 10]}``, …"""


class MeasuredAxis(SpecModel):
    """How one axis is measured."""

    measure: MeasureSpec
    """What the number is: ``win_rate``, ``{rate: harmful}``, ``{mean: [0, 10]}``, …"""
    better: Better = "higher"
    """Which direction is good."""
