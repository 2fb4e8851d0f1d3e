"""Paired differences of two models as a study would find them, drawn for many studies at once.

A sample can be drawn for any true difference. The same seed gives the same random numbers for every
difference, so that the share of studies that find it rises with it (common random numbers).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from mixmerge.stats.bootstrap import Codes, Floats
from mixmerge.stats.intervals import ClusterSample

if TYPE_CHECKING:
    from jaxtyping import Float64, Int

_VALUES = 1_000_000
"""Values of a chunk of studies, which bounds the memory."""


@dataclass(frozen=True)
class Judged:
    """How often a judge sees what is there, and what is not."""

    sensitivity: float = 1.0
    """Share of "yes" (or wins) that it finds."""
    specificity: float = 1.0
    """Share of "no" (or losses) that it finds."""

    @property
    def youden(self) -> float:
        """The share of a true difference that is left in its verdicts."""
        return self.sensitivity + self.specificity - 1

    def rate(self, truth: float) -> float:
        """Return the rate by its verdicts of a true rate."""
        return truth * self.sensitivity + (1 - truth) * (1 - self.specificity)


@dataclass(frozen=True)
class Stated:
    """Two models that get yes-or-no scores, from stated rates and correlations."""

    sizes: Int[Codes, "clusters"]
    """Prompts of each cluster."""
    rate: float
    """Of the second model, in (0, 1), before the judge's errors."""
    correlation: float
    """Of the scores of both models on one prompt, in [0, 1)."""
    within: float
    """Of their differences on two prompts of one cluster, in [0, 1]."""
    judge: Judged = field(default_factory=Judged)
    fixed: float | None = None
    """The second model's score where it is the same on all prompts by definition."""

    @property
    def clusters(self) -> int:
        """Number of independent prompts of one study."""
        return len(self.sizes)

    @property
    def reach(self) -> tuple[float, float]:
        """The lowest and the highest true difference that is possible."""
        start = self.rate if self.fixed is None else self.fixed
        return -start, 1 - start

    def resized(self, clusters: int) -> Stated:
        """Return the same of a study with so many clusters, of the same sizes."""
        places = np.arange(clusters) * self.clusters // clusters
        return replace(self, sizes=self.sizes[places])

    def samples(
        self, difference: float, studies: int, seed: Sequence[int]
    ) -> Iterator[ClusterSample]:
        """Yield samples with a column of judged differences for each study."""
        values, shares, within = self._distribution(difference)
        cluster = np.repeat(np.arange(self.clusters), self.sizes)
        for rng, columns in _chunks(len(cluster), studies, seed):
            drawn = rng.random((len(cluster), columns))
            shared = rng.random((self.clusters, columns))[cluster]
            # Each prompt takes what its cluster drew with this probability, or draws for itself:
            # two of a cluster then correlate by its square, whatever the distribution is.
            copies = rng.random((len(cluster), columns)) < math.sqrt(within)
            place = np.searchsorted(np.cumsum(shares)[:-1], np.where(copies, shared, drawn))
            yield ClusterSample(values[place], cluster)

    def _distribution(self, difference: float) -> tuple[Floats, Floats, float]:
        """Return the values of a judged difference, their shares, and their correlation."""
        if self.fixed is not None:
            rate = self.judge.rate(self.fixed + difference)
            values = np.array([-self.fixed, 1 - self.fixed])
            return (
                values,
                np.array([1 - rate, rate]),
                self._judged_within(
                    (self.fixed + difference) * (1 - self.fixed - difference), rate * (1 - rate)
                ),
            )
        a, b = self.rate + difference, self.rate
        covariance = self.correlation * math.sqrt(a * (1 - a) * b * (1 - b))
        both = min(a * b + covariance, a, b)
        truth = {(1, 1): both, (1, 0): a - both, (0, 1): b - both, (0, 0): 1 - a - b + both}
        says = {1: self.judge.sensitivity, 0: 1 - self.judge.specificity}
        gain = sum(p * says[x] * (1 - says[y]) for (x, y), p in truth.items())
        loss = sum(p * says[y] * (1 - says[x]) for (x, y), p in truth.items())
        variance = truth[1, 0] + truth[0, 1] - difference**2
        within = self._judged_within(variance, gain + loss - (gain - loss) ** 2)
        return np.array([-1.0, 0.0, 1.0]), np.array([loss, 1 - gain - loss, gain]), within

    def _judged_within(self, variance: float, judged: float) -> float:
        """Return the correlation within clusters by a judge whose errors are independent."""
        if judged <= 0:
            return 0.0
        return min(1.0, self.within * self.judge.youden**2 * variance / judged)


@dataclass(frozen=True)
class Stratum:
    """Clusters of a pilot with prompts in the same languages."""

    first: Float64[Floats, "clusters prompts"]
    """Scores of the first model, from 0 to 1; NaN without a verdict."""
    second: Float64[Floats, "clusters prompts"]
    planned: int
    """How many of such clusters the study has."""


@dataclass(frozen=True)
class Resampled:
    """Two models that differ as in a pilot, whose clusters are drawn with replacement."""

    strata: tuple[Stratum, ...]
    graded: bool
    """Whether scores are grades: they move by a share of the way to the end of their range. Others,
    such as wins, are replaced by the best or worst score on a share of the prompts."""

    @property
    def clusters(self) -> int:
        """Number of independent prompts of one study."""
        return sum(each.planned for each in self.strata)

    @property
    def reach(self) -> tuple[float, float]:
        """The lowest and the highest judged difference that is possible."""
        return self._mean(lambda s: -s.second), self._mean(lambda s: 1 - s.second)

    @property
    def variance(self) -> float:
        """The variance of a cluster's difference, over all clusters of the pilot."""
        means = np.concatenate([np.nanmean(s.first - s.second, axis=1) for s in self.strata])
        return float(np.nanvar(means))

    def resized(self, clusters: int) -> Resampled:
        """Return the same of a study with about so many clusters, in the same proportions."""
        factor = clusters / self.clusters
        strata = (replace(s, planned=max(1, round(s.planned * factor))) for s in self.strata)
        return replace(self, strata=tuple(strata))

    def samples(
        self, difference: float, studies: int, seed: Sequence[int]
    ) -> Iterator[ClusterSample]:
        """Yield samples with a column of differences for each study."""
        now = self._mean(lambda s: s.first - s.second)
        up = difference > now
        room = self._mean(lambda s: 1 - s.first if up else s.first)
        share = abs(difference - now) / room if room > 0 else 0.0
        sizes = [s.first.shape[1] for s in self.strata for _ in range(s.planned)]
        cluster = np.repeat(np.arange(self.clusters), sizes)
        for rng, columns in _chunks(len(cluster), studies, seed):
            drawn = [self._drawn(s, float(up), share, columns, rng) for s in self.strata]
            yield ClusterSample(np.concatenate(drawn), cluster)

    def _drawn(
        self, of: Stratum, end: float, share: float, columns: int, rng: np.random.Generator
    ) -> Float64[Floats, "rows columns"]:
        taken = rng.integers(len(of.first), size=(of.planned, columns))
        first = np.moveaxis(of.first[taken], 2, 1).reshape(-1, columns)
        second = np.moveaxis(of.second[taken], 2, 1).reshape(-1, columns)
        moves = share if self.graded else rng.random(first.shape) < share
        found: Floats = first + moves * (end - first) - second
        return found

    def _mean(self, of: Callable[[Stratum], Floats]) -> float:
        """Return a mean over prompts in the proportions of the study."""
        total = count = 0.0
        for each in self.strata:
            values = of(each)
            weight = each.planned / len(values)
            total += weight * float(np.nansum(values))
            count += weight * int(np.sum(~np.isnan(values)))
        return total / count


Differences = Stated | Resampled
"""What is assumed of the differences of two models on the prompts of one axis."""


def _chunks(
    rows: int, studies: int, seed: Sequence[int]
) -> Iterator[tuple[np.random.Generator, int]]:
    """Yield a generator and a number of studies for each chunk; the same for the same arguments."""
    step = max(10, min(250, _VALUES // rows))
    for number, start in enumerate(range(0, studies, step)):
        yield np.random.default_rng([*seed, number]), min(step, studies - start)
