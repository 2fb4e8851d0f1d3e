"""What every estimate carries, and the samples that are too small for one or for an interval."""

import math
from dataclasses import dataclass

from mixmerge.errors import SampleError

LEVEL = 0.95
"""Coverage of every interval."""

MIN_CLUSTERS = 10
"""Fewest clusters for a pooled estimate (fewer are refused) and for any interval."""

MIN_VALUES = 30
"""Fewest observations for an interval: with 20 answers of yes or no, no interval covers 95 % of
the time, because there are only 21 results to choose from."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval and what it rests on."""

    value: float
    low: float
    """Lower end of the interval; ``-inf`` where there is none."""
    high: float
    """Upper end of the interval; ``inf`` where there is none."""
    n: int
    """Observations."""
    clusters: int
    """Independent units among them."""
    method: str
    """How the interval was made, e.g. ``wilson`` or ``t``."""
    absent: str = ""
    """Why no interval is offered; empty where one is."""

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends."""
        return self.low, self.high

    @property
    def offered(self) -> tuple[float, float] | None:
        """Both ends, or None where an interval of this sample would not cover what it says."""
        return None if self.absent else self.interval

    @classmethod
    def without_interval(cls, value: float, n: int, clusters: int, absent: str) -> "Estimate":
        """Return an estimate that says why it has no interval."""
        return cls(value, -math.inf, math.inf, n, clusters, "none", absent)


def too_small(
    n: int,
    clusters: int,
    effective: float,
    varying: int,
    required: int,
    than: str = "from the most common value",
) -> str:
    """Say why a sample allows no interval; nothing where it allows one.

    An interval is made from how much clusters vary. Where few of them differ from the usual value,
    the variation itself is a guess; ``benchmarks/coverage.py`` measures from where on 95 % means 95
    %. Of ``n`` observations in clusters, some ``varying`` differ ``than`` (in words) the usual
    value; each kind of estimate has its fewest, ``required``. For ``effective`` see `ClusterMean`.
    """
    if n < MIN_VALUES:
        return f"{n} prompts with a verdict, {MIN_VALUES} required"
    if clusters < MIN_CLUSTERS:
        return f"{clusters} source prompts with a verdict, {MIN_CLUSTERS} required"
    if effective < MIN_CLUSTERS - 0.5:
        return (
            f"{clusters} source prompts of very unequal size count as {effective:.1f} of one size, "
            f"{MIN_CLUSTERS} required"
        )
    if varying < required:
        return f"{varying} of {clusters} source prompts differ {than}, {required} required"
    return ""


def require_clusters(seen: int, what: str, missing: int = 0) -> None:
    """Refuse an estimate from too few clusters.

    Raises:
        SampleError: fewer than `MIN_CLUSTERS` clusters; the message has both numbers.
    """
    if seen < MIN_CLUSTERS:
        raise SampleError(
            f"{what}: {seen} independent prompts (clusters) seen, at least {MIN_CLUSTERS} "
            "required. Add prompts; translations of one question count once."
            + " The `reason` of a verdict that is missing says why."
            * bool(missing)
        )
