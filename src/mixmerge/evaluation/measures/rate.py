"""The share of answers with an outcome."""

from typing import ClassVar

from pydantic import Field

from mixmerge.errors import DataError
from mixmerge.evaluation.measures.measure import Measure
from mixmerge.records import Axis, Question, Verdict
from mixmerge.records.judge import Asks


class Rate(Measure):
    """Share of answers with one outcome: harmful, refused, correct, or another of the judge's."""

    key: ClassVar[str] = "rate"
    asks: ClassVar[Asks] = "outcome"

    rate: str = Field(pattern=r"^[a-z][a-z_-]*$")
    """The outcome to count, in lower case, e.g. ``harmful``."""
    relative: bool = False
    """Report changes relative to the base model's rate, too."""

    @property
    def title(self) -> str:
        """The column heading."""
        return f"{self.rate} answers"

    @property
    def phrase(self) -> str:
        """The title within a sentence."""
        return f"the share of {self.rate} answers"

    @property
    def tells_relative(self) -> bool:
        """Whether changes relative to the base model's value are reported, too."""
        return self.relative

    def question(self, axis: Axis) -> Question:
        """Ask whether an answer has the outcome."""
        return Question(axis, self.asks, self.rate)

    def worth(self, verdict: Verdict) -> float:
        """Return 1 for yes and 0 for no."""
        if verdict.outcome not in ("yes", "no"):
            raise DataError(
                f"axis {verdict.axis}, prompt {verdict.prompt!r}: a rate needs `yes` or `no` "
                f"(seen: {verdict.outcome!r}). Judge these answers again."
            )
        return float(verdict.outcome == "yes")


MEASURE = Rate
