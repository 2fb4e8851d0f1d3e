"""Measures: the score of a verdict, and the number of an axis.

To add one, write a file like `mixmerge.evaluation.measures.rate` and name it in `_FILES`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from mixmerge.evaluation.measures.measure import Measure
from mixmerge.records.results import AxisInfo, Better
from mixmerge.spec_model import SpecModel, one_of

__all__ = ["MEASURES", "Measure", "MeasureSpec", "MeasuredAxis", "Scale"]

_FILES = (
    "win_rate",
    "rate",
    "mean",
)

MEASURES: dict[str, type[Measure]] = {
    file: import_module(f"{__name__}.{file}").MEASURE for file in _FILES
}
"""By their key in a study file."""

if TYPE_CHECKING:
    MeasureSpec = Measure
else:
    MeasureSpec = one_of(MEASURES, "measure")
    """``win_rate``, ``{rate: harmful}``, ``{mean: [0, 10]}``, …"""


class Scale(SpecModel):
    """What the number of an axis is."""

    measure: MeasureSpec
    """What the number is: ``win_rate``, ``{rate: harmful}``, ``{mean: [0, 10]}``, …"""
    margin: float | None = Field(None, ge=0)
    """The smallest difference that matters, in the measure's units: 0.03 is 3 points of a rate. A
    model that is better elsewhere may be worse by less. By default 3 % of the range."""

    @model_validator(mode="after")
    def _margin_is_within_the_range(self) -> Self:
        low, high = self.measure.range
        if self.margin is not None and self.margin >= high - low:
            raise ValueError(
                f"`margin` must be less than the range of the measure, {low:g} to {high:g} "
                f"(seen: {self.margin:g}); for 3 points of a rate write 0.03"
            )
        return self


class MeasuredAxis(Scale):
    """How one axis is measured."""

    better: Better = "higher"
    """Which direction is better."""

    def info(self, *, primary: bool) -> AxisInfo:
        """Return the axis's description in the results."""
        return self.measure.info(self.better, primary=primary, margin=self.margin)
