"""The mean of graded answers."""

from typing import ClassVar, Literal, Self

from pydantic import FiniteFloat, model_validator

from mixmerge.errors import DataError
from mixmerge.evaluation.measures.measure import Measure
from mixmerge.records import Verdict
from mixmerge.records.judge import Asks
from mixmerge.records.results import Interval
from mixmerge.stats.estimate import GRADES_APART


class Mean(Measure):
    """Mean grade between given bounds; ``yes`` and ``no`` are the highest and the lowest grade.

    The interval is Wilson's with the cluster-robust variance of the grades as shares of their
    range: it stays within the bounds, and for grades at the bounds it is that of a rate.
    """

    key: ClassVar[str] = "mean"
    asks: ClassVar[Asks] = "grade"
    apart: ClassVar[float] = GRADES_APART

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
        """Grades from 0 to 1 are shown as percent, others as they are."""
        return "percent" if self.mean == (0.0, 1.0) else "score"

    @property
    def title(self) -> str:
        """The column heading."""
        return "mean score"

    @property
    def range(self) -> Interval:
        """The lowest and the highest grade."""
        return self.mean

    def worth(self, verdict: Verdict) -> float:
        """Return a grade as a share of the range; 1 for yes and 0 for no."""
        if verdict.outcome in ("yes", "no"):
            return float(verdict.outcome == "yes")
        low, high = self.mean
        if verdict.score is None or not low <= verdict.score <= high:
            seen = verdict.outcome if verdict.score is None else verdict.score
            raise DataError(
                f"axis {verdict.axis}, prompt {verdict.prompt!r}: a grade from {low:g} to {high:g} "
                f"is required (seen: {seen} by {verdict.judge}). Give the judge's bounds in "
                "`measure: {mean: [LOWEST, HIGHEST]}`."
            )
        return (verdict.score - low) / (high - low)


MEASURE = Mean
