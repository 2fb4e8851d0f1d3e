"""What every measure says of itself; a measure is one file and one line in the registry."""

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
"""The smallest difference that matters where a study says none: a share of the range."""


class Measure(SpecModel):
    """How the verdicts of an axis become a number for each model.

    Everything is estimated in shares of the range: 0 is the lowest value that there can be and 1
    the highest. `of_share` and `of_difference` bring estimates back to the measure's own units.
    """

    key: ClassVar[str]
    """Its name, and the field that tells it from other measures."""
    asks: ClassVar[Asks]
    """What judges are asked."""
    of_base: ClassVar[float | None] = None
    """The base model's share where it is fixed by definition, and no judge is asked about it."""
    apart: ClassVar[float] = 0.0
    """Share of the range by which some values must differ from the median, for an interval."""

    @property
    def title(self) -> str:
        """What a value is called at the head of a column."""
        raise NotImplementedError

    @property
    def phrase(self) -> str:
        """The same within a sentence, with its article."""
        return f"the {self.title}"

    @property
    def unit(self) -> Literal["percent", "score"]:
        """How values are shown: fractions as percent, other numbers as they are."""
        return "percent"

    @property
    def range(self) -> Interval:
        """The lowest and the highest value."""
        return 0.0, 1.0

    @property
    def tells_relative(self) -> bool:
        """Whether changes are told relative to the base model's value, too."""
        return False

    def question(self, axis: Axis) -> Question:
        """Return what judges are asked on an axis."""
        return Question(axis, self.asks, bounds=self.range)

    def worth(self, verdict: Verdict) -> float:
        """Return what a verdict is worth, from 0 to 1; one without an outcome is never asked for.

        Raises:
            DataError: the verdict is no answer to the measure's question.
        """
        raise NotImplementedError

    def estimate(self, sample: "ClusterSample", column: int) -> "Estimate":
        """Estimate a model's share of the range, with its interval."""
        return sample.rate(column, self.apart)

    def estimate_difference(self, sample: "ClusterSample", column: int) -> "Estimate":
        """Estimate the difference of two models' shares, with its interval."""
        return sample.difference(column, self.apart)

    def outcomes(self, scores: "Floats") -> dict[str, int]:
        """Count prompts by outcome; nothing where that says no more than the value.

        The scores are what verdicts are worth, shape (prompts,); NaN for none.
        """
        del scores
        return {}

    def bounds(self, scores: "Floats") -> Interval:
        """Return the share if every missing verdict were the lowest, and if it were the highest.

        Of the scores, shape (prompts,), at least one is there; NaN for none.
        """
        low = float(np.nansum(scores)) / len(scores)
        return low, low + int(np.isnan(scores).sum()) / len(scores)

    def of_share(self, share: float) -> float:
        """Return a value in the measure's units from a share of its range."""
        low, high = self.range
        return low + (high - low) * share

    def of_difference(self, difference: float) -> float:
        """Return a difference in the measure's units from one of shares."""
        low, high = self.range
        return (high - low) * difference

    def info(self, better: Better, *, primary: bool, margin: float | None = None) -> AxisInfo:
        """Return what results say of an axis with this measure.

        Args:
            better: which direction is good.
            primary: whether the axis decides.
            margin: the smallest difference that matters, in the measure's units; None for `MARGIN`.
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
