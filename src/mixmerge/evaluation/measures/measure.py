"""The base class of measures."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from mixmerge.records import Axis, Question, Verdict
from mixmerge.records.judge import Asks
from mixmerge.records.results import AxisInfo, Better, Interval
from mixmerge.spec_model import SpecModel

if TYPE_CHECKING:  # estimates need scipy, and a study file is read without it
    from mixmerge.stats.bootstrap import Floats
    from mixmerge.stats.estimate import Estimate
    from mixmerge.stats.intervals import ClusterSample

MARGIN = 0.03
"""The default margin: a share of the range."""


class Measure(SpecModel):
    """Turns the verdicts on an axis into a number for each model.

    Estimates are shares of the range: 0 is the lowest possible value and 1 the highest. `of_share`
    and `of_difference` convert them to the measure's units.
    """

    key: ClassVar[str]
    """Its name, and the field that identifies it."""
    asks: ClassVar[Asks]
    """What judges are asked."""
    of_base: ClassVar[float | None] = None
    """The base model's share if it is fixed by definition; no judge is asked about it."""
    apart: ClassVar[float] = 0.0
    """Share of the range by which some values must differ from the median, for an interval."""

    @property
    def title(self) -> str:
        """The column heading."""
        raise NotImplementedError

    @property
    def phrase(self) -> str:
        """The title within a sentence, with its article."""
        return f"the {self.title}"

    @property
    def unit(self) -> Literal["percent", "score"]:
        """How values are shown: shares as percent, other numbers as they are."""
        return "percent"

    @property
    def range(self) -> Interval:
        """The lowest and the highest value."""
        return 0.0, 1.0

    @property
    def tells_relative(self) -> bool:
        """Whether changes relative to the base model's value are reported, too."""
        return False

    def question(self, axis: Axis) -> Question:
        """Return what judges are asked on an axis."""
        return Question(axis, self.asks, bounds=self.range)

    def worth(self, verdict: Verdict) -> float:
        """Return the score of a verdict with an outcome, from 0 to 1.

        Raises:
            DataError: the verdict does not answer the measure's question.
        """
        raise NotImplementedError

    def estimate(self, sample: "ClusterSample", column: int) -> "Estimate":
        """Estimate a model's share of the range, with its interval."""
        return sample.rate(column, self.apart)

    def estimate_difference(self, sample: "ClusterSample", column: int) -> "Estimate":
        """Estimate the difference of two models' shares, with its interval."""
        return sample.difference(column, self.apart)

    def outcomes(self, scores: "Floats") -> dict[str, int]:
        """Count prompts by outcome; empty if that says no more than the value.

        ``scores`` has shape (prompts,), with NaN without a verdict.
        """
        del scores
        return {}

    def bounds(self, scores: "Floats") -> Interval:
        """Return the share if all missing verdicts were the lowest, and if they were the highest.

        ``scores`` has shape (prompts,), with NaN without a verdict.
        """
        low = float(np.nansum(scores)) / len(scores)
        return low, low + int(np.isnan(scores).sum()) / len(scores)

    def of_share(self, share: float) -> float:
        """Convert a share of the range to the measure's units."""
        low, high = self.range
        return low + (high - low) * share

    def of_difference(self, difference: float) -> float:
        """Convert a difference of shares to the measure's units."""
        low, high = self.range
        return (high - low) * difference

    def info(self, better: Better, *, primary: bool, margin: float | None = None) -> AxisInfo:
        """Return the description in the results of an axis, ``primary`` if it decides.

        ``margin`` is in the measure's units; None is `MARGIN`.
        """
        return AxisInfo(
            measure=self.key,
            title=self.title,
            phrase=self.phrase,
            better=better,
            primary=primary,
            unit=self.unit,
            bounds=self.range,
            margin=self.of_difference(MARGIN) if margin is None else margin,
            of_base=None if self.of_base is None else self.of_share(self.of_base),
            relative=self.tells_relative,
        )
