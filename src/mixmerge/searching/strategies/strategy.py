"""The interface of strategies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mixmerge.searching.objective import Trial
from mixmerge.searching.space import Candidate, Space


@dataclass(frozen=True)
class History:
    """What a search knows when it chooses its next candidates."""

    space: Space
    trials: Sequence[Trial]
    """All trials so far, with failed ones."""
    goals: Sequence[int]
    """The goals that can decide; on the others all trials have one value."""
    reference: Sequence[float]
    """The corner of the hypervolume, on every goal."""
    seed: int
    batch: int
    """Number of batches so far."""

    @property
    def known(self) -> frozenset[str]:
        """Keys of the candidates that were asked."""
        return frozenset(trial.candidate.key for trial in self.trials)


class Strategy(Protocol):
    """Chooses candidates."""

    def needed(self, space: Space) -> int:
        """Return the fewest candidates that make sense."""

    def check(self) -> None:
        """Check that this strategy can run here.

        Raises:
            ResourceError: a package is not installed; the message has the command.
        """

    def propose(self, history: History, count: int) -> list[Candidate]:
        """Return the next candidates, at most ``count``; none if there are no more."""
