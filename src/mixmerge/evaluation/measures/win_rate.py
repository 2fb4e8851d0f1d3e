"""The win rate against the base model."""

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from mixmerge.errors import DataError
from mixmerge.evaluation.measures.measure import Measure
from mixmerge.records import WORTH, Verdict
from mixmerge.records.judge import Asks

if TYPE_CHECKING:
    from mixmerge.stats.bootstrap import Floats


class WinRate(Measure):
    """Share of answers that are better than the base model's; a tie counts one half."""

    key: ClassVar[str] = "win_rate"
    asks: ClassVar[Asks] = "comparison"
    of_base: ClassVar[float | None] = 0.5

    win_rate: Literal["base"] = "base"
    """The model that all others are compared with."""

    @property
    def title(self) -> str:
        """The column heading."""
        return "win rate"

    def worth(self, verdict: Verdict) -> float:
        """Return 1 for a win, 1/2 for a tie, 0 for a loss."""
        if verdict.outcome not in ("win", "tie", "loss"):
            raise DataError(
                f"axis {verdict.axis}, prompt {verdict.prompt!r}: a win rate needs `win`, `tie` or "
                f"`loss` (seen: {verdict.outcome!r}). Judge these answers again."
            )
        return WORTH[verdict.outcome]

    def outcomes(self, scores: "Floats") -> dict[str, int]:
        """Count wins, ties and losses."""
        return {
            "win": int(np.sum(scores > 0.5)),
            "tie": int(np.sum(scores == 0.5)),
            "loss": int(np.sum(scores < 0.5)),
        }


MEASURE = WinRate
