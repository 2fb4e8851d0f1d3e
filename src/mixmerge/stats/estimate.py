"""What every estimate carries, and the smallest sample from which one is made."""

from dataclasses import dataclass

from mixmerge.errors import SampleError

LEVEL = 0.95
"""Coverage of every interval unless another level is asked."""

MIN_CLUSTERS = 10
"""Fewest clusters for a bootstrap or a pooled estimate; fewer are refused."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval and what it rests on."""

    value: float
    low: float
    """Lower end of the interval; ``-inf`` where the data set no limit."""
    high: float
    """Upper end of the interval; ``inf`` where the data set no limit."""
    n: int
    """Observations."""
    clusters: int
    """Independent units among them."""
    method: str
    """How the interval was made, e.g. ``percentile`` or ``wilson``."""

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends."""
        return self.low, self.high


def require_clusters(seen: int, what: str, required: int = MIN_CLUSTERS) -> None:
    """Refuse an estimate from too few clusters.

    Raises:
        SampleError: fewer than ``required`` clusters; the message has both numbers.
    """
    if seen < required:
        raise SampleError(
            f"{what}: {seen} independent prompts (clusters) seen, at least {required} required. "
            "Add prompts; translations of one question count once."
        )
