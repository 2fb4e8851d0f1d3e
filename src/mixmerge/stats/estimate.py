"""Estimates, and the sample sizes that they and their intervals need."""

import math
from dataclasses import dataclass

from mixmerge.errors import SampleError

LEVEL = 0.95
"""Coverage of every interval."""

MIN_CLUSTERS = 10
"""Fewest clusters for a pooled estimate (fewer are refused) and for any interval."""

MIN_VALUES = 30
"""Fewest observations for an interval: 20 yes-or-no answers have only 21 results, so no interval
covers 95 %."""


GRADES_APART = 0.1
"""Share of the range by which some grades must differ from the median, for an interval: without it,
that of grades that are all alike would be too narrow."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval and sample size."""

    value: float
    low: float
    """Lower end of the interval; ``-inf`` without one."""
    high: float
    """Upper end of the interval; ``inf`` without one."""
    n: int
    """Observations."""
    clusters: int
    """Independent units among them."""
    method: str
    """Kind of interval, e.g. ``wilson`` or ``t``."""
    absent: str = ""
    """Why there is no interval; empty if there is."""

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends."""
        return self.low, self.high

    @property
    def offered(self) -> tuple[float, float] | None:
        """Both ends, or None if there is no interval with the stated coverage."""
        return None if self.absent else self.interval

    @classmethod
    def without_interval(cls, value: float, n: int, clusters: int, absent: str) -> "Estimate":
        """Return an estimate without interval, and the reason."""
        return cls(value, -math.inf, math.inf, n, clusters, "none", absent)


def too_small(
    n: int,
    clusters: int,
    effective: float,
    varying: int,
    required: int,
    than: str = "from the most common value",
) -> str:
    """Return why a sample allows no interval; "" if it does.

    An interval is based on how much clusters vary. If few of them differ from the usual value, that
    variance is itself a guess; ``benchmarks/coverage.py`` measures where 95 % coverage begins. Of
    ``n`` observations in clusters, ``varying`` clusters differ ``than`` (in words) the usual value;
    each kind of estimate has a minimum, ``required``. For ``effective`` see `ClusterMean`.
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
