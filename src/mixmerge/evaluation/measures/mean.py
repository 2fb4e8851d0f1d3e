"""The mean of graded answers."""

from typing import ClassVar, Literal, Self

from pydantic import FiniteFloat, model_validator

from mixmerge.errors import DataError
from mixmerge.evaluation.measures.measure import Measure
from mixmerge.records import Verdict
from mixmerge.records.judge import Asks
from mixmerge.records.results import Interval


class Mean(Measure):
    """Mean grade between stated bounds; a judge that says yes or no gives the ends.

    The interval is Wilson's with the cluster-robust variance of the grades as shares of their
    range: it never leaves the bounds, and for grades that are all ends it is that of a rate.
    """

    key: ClassVar[str] = "mean"
    asks: ClassVar[Asks] = "grade"
    apart: ClassVar[float] = 0.1
    """Grades that are all alike do not show how often there is a quite different one."""

    mean: tuple[FiniteFloat, FiniteFloat] = (0.0, 1.0)
    """The lowest and the highest grade."""

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if not self.mean[0] < self.mean[1]:
            raise ValueError(
                f"`mean` is the lowest and the highest grade, as [0, 10] (seen: {list(self.mean)})"
            )
        return self

    @property
    def unit(self) -> Literal["percent", "score"]:
        """Fractions are shown as percent, other grades as they are."""
        return "percent" if self.mean == (0.0, 1.0) else "score"

    @property
    def title(self) -> str:
        """What a value is called at the head of a column."""
        return "mean score"

    @property
    def range(self) -> Interval:
        """The lowest and the highest grade."""
        return self.mean

    def worth(self, verdict: Verdict) -> float:
        """Return where a grade lies between the bounds; 1 for yes and 0 for no."""
        if verdict.outcome in ("yes", "no"):
            return float(verdict.outcome == "yes")
        low, high = self.mean
        if verdict.score is None or not low <= verdict.score <= high:
            seen = verdict.outcome if verdict.score is None else verdict.score
            raise DataError(
                f"axis {verdict.axis}, prompt {verdict.prompt!r}: a grade from {low:g} to {high:g} "
                f"is required (seen: {seen} by {verdict.judge}). Say the judge's bounds in "
                "`measure: {mean: [LOWEST, HIGHEST]}`."
            )
        return (verdict.score - low) / (high - low)


MEASURE = Mean
