"""The power of a study by simulation: its own tests, adjustment and decisions on drawn samples.

A study tests every pair of models on every deciding axis. Of many simulated studies, one contrast
has the difference asked about, and all others have none: the least favourable case for Holm's
method, which then asks of the contrast nearly what Bonferroni's would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from mixmerge.stats.bootstrap import Codes, Floats
from mixmerge.stats.decision import (
    ONE_SIDED,
    SIGNIFICANCE,
    Compared,
    adjust_all_axes,
    decide,
    significant_gain,
)
from mixmerge.stats.drawn import Differences
from mixmerge.stats.estimate import MIN_CLUSTERS
from mixmerge.stats.intervals import ClusterSample
from mixmerge.stats.paired import holm, sign_flip_ps
from mixmerge.stats.power import POWER

if TYPE_CHECKING:
    from jaxtyping import Bool, Int
    from numpy.typing import NDArray

STUDIES = 2000
"""Simulated studies: a power of 80 % has a standard error of 0.9 points."""
_STEPS = 12
_NEAR = 0.015
"""Distance from the wanted power at which the search ends."""
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Scale:
    """How an axis decides."""

    sign: int
    """1 where higher is better, else -1."""
    margin: float
    """The smallest difference that matters, as a share of the range."""
    apart: float = 0.0
    """As for `ClusterSample.difference`."""


@dataclass(frozen=True)
class Tests:
    """What the studies' tests found on one axis for one pair, each of shape (studies,)."""

    mean: Floats
    p: Floats
    """Two-sided, of no difference. Where it is above 0.05 it may be too small, but not below."""
    worse: Floats
    """One-sided, of "worse by the margin or more"; empty where it is not asked for."""
    better: Floats


@dataclass(frozen=True)
class Smallest:
    """The smallest difference that is found with the power `POWER`, and what goes with it."""

    difference: float
    """A share of the range, above 0; infinite where none that is possible is found so often."""
    error: float
    """Half the width of its 95 % interval for the number of simulated studies."""
    beats: float
    """Share of studies that decide "beats" with this difference and no other."""
    not_worse: float
    """Share of studies that show "not worse" on this axis where there is no difference."""


@dataclass(frozen=True)
class Family:
    """All primary contrasts of a study."""

    scales: Sequence[Scale]
    """Of the deciding axes."""
    models: Sequence[Sequence[Differences]]
    """By pair and axis. If there is one row for several pairs, they are exchangeable."""
    pairs: int
    seed: int
    studies: int = STUDIES
    draws: int = 10_000
    """Sign patterns of a permutation test."""

    @property
    def _critical(self) -> float:
        return _NORMAL.inv_cdf(1 - SIGNIFICANCE / (2 * self.tests))

    @property
    def distance(self) -> float:
        """How many standard errors the smallest difference is, if it were normal."""
        return _distance(POWER, self._critical)

    @property
    def tests(self) -> int:
        """Number of contrasts, over which Holm's method adjusts."""
        return self.pairs * len(self.scales)

    def smallest(self, pair: int, axis: int) -> Smallest:
        """Return the smallest difference for the better that one contrast can show.

        Args:
            pair: the row of `models`.
            axis: the column.
        """
        sign = self.scales[axis].sign
        low, high = self.models[pair][axis].reach
        most = high if sign > 0 else -low

        def power(difference: float) -> float:
            return self.power(pair, axis, difference)

        # A score near the end of its range does not vary, so the very end is left out.
        found = _solve(power, self.smallest_guess(pair, axis), 0.999 * most, self._critical)
        distance = self.distance
        slope = _NORMAL.pdf(_NORMAL.inv_cdf(POWER)) * distance / found
        error = 1.96 * math.sqrt(POWER * (1 - POWER) / self.studies) / slope if slope else 0.0
        beats = self._beats(pair, axis, found) if math.isfinite(found) else 0.0
        return Smallest(found, error, beats, self._not_worse(pair, axis))

    def power(self, pair: int, axis: int, difference: float, clusters: int = 0) -> float:
        """Return the share of studies in which a contrast shows a difference for the better.

        Args:
            pair: the row of `models`.
            axis: the column.
            difference: how much better the first model is, as a share of the range, above 0.
            clusters: in place of the study's.
        """
        model = self.models[pair][axis]
        model = model.resized(clusters) if clusters else model
        own = self._test(pair, axis, difference, model, margins=False)
        return float(np.mean(self._gains(pair, axis, own)[:, axis] == 1))

    def clusters_for(self, pair: int, axis: int, difference: float, start: float) -> int:
        """Return how many clusters a contrast needs to show a difference; `start` is a guess."""
        count = max(float(MIN_CLUSTERS), start)
        for _ in range(3):
            power = self.power(pair, axis, difference, round(count))
            # The difference in standard errors grows with the root of the size.
            grows = _distance(POWER, self._critical) / _distance(power, self._critical)
            count = max(float(MIN_CLUSTERS), count * grows**2)
            if abs(power - POWER) <= _NEAR:
                break
        return math.ceil(count)

    def clusters_not_worse(self, pair: int, axis: int) -> float:
        """Return about how many clusters show "not worse" where there is no difference.

        By the normal formula, with Bonferroni's correction for the pairs; infinite for a margin of
        0.
        """
        distance = _distance(POWER, _NORMAL.inv_cdf(1 - ONE_SIDED / self.pairs))
        margin, clusters = self.scales[axis].margin, self.models[pair][axis].clusters
        if not margin:
            return math.inf
        return clusters * (distance * self.spread(pair, axis) / margin) ** 2

    def spread(self, pair: int, axis: int) -> float:
        """Return the standard error of a contrast's difference: the spread over the studies."""
        return float(self._null[pair][axis].mean.std())

    def smallest_guess(self, pair: int, axis: int) -> float:
        """Return the smallest difference if it were normal and tested by Bonferroni's method."""
        return self.distance * self.spread(pair, axis)

    def _beats(self, pair: int, axis: int, difference: float) -> float:
        own = self._test(pair, axis, difference, self.models[pair][axis])
        gains = self._gains(pair, axis, own)
        inside = [self._inside(pair, axis, own, kind) for kind in ("worse", "better")]
        decisions = (
            decide(map(Compared, row.tolist(), worse.tolist(), better.tolist()))
            for row, worse, better in zip(gains, *inside, strict=True)
        )
        return sum(each == "beats" for each in decisions) / self.studies

    def _not_worse(self, pair: int, axis: int) -> float:
        own = self._null[pair][axis]
        return float(self._inside(pair, axis, own, "worse")[:, axis].mean())

    def _gains(self, pair: int, axis: int, own: Tests) -> Int[Codes, "studies axes"]:
        """Return whether a pair is significantly better, or worse, on each axis."""
        known = self._with(pair, axis, own)
        columns = [tests for of_pair in known for tests in of_pair]
        p = np.stack([tests.p for tests in columns], axis=1)
        place = slice(pair * len(self.scales), (pair + 1) * len(self.scales))
        signs = [scale.sign for scale in self.scales]
        means = np.stack([tests.mean for tests in columns[place]], axis=1) * signs
        adjusted = (holm(row)[place] for row in p.tolist())
        gains = [
            [significant_gain(mean, own_p) for mean, own_p in zip(row, of_row, strict=True)]
            for row, of_row in zip(means.tolist(), adjusted, strict=True)
        ]
        return np.array(gains)

    def _inside(
        self, pair: int, axis: int, own: Tests, kind: str
    ) -> Bool[NDArray[np.bool_], "studies axes"]:
        """Return whether a pair is shown not to be worse (or better), shape (studies, axes)."""
        known = self._with(pair, axis, own)
        p = np.array([[getattr(tests, kind) for tests in of_pair] for of_pair in known])
        adjusted = [adjust_all_axes(study)[pair] for study in np.moveaxis(p, 2, 0).tolist()]
        return np.array(adjusted) < ONE_SIDED

    def _with(self, pair: int, axis: int, own: Tests) -> list[list[Tests]]:
        """Return the tests of all contrasts, of which one has a difference."""
        known = [list(of_pair) for of_pair in self._null]
        known[pair][axis] = own
        return known

    @cached_property
    def _null(self) -> list[list[Tests]]:
        """The tests of every contrast without a difference, by pair and axis."""
        known = [
            [self._test(pair, axis, 0.0, model) for axis, model in enumerate(of_pair)]
            for pair, of_pair in enumerate(self.models)
        ]
        rng = np.random.default_rng([self.seed, 1])
        # Exchangeable pairs: the same studies in another order are another pair's.
        for _ in range(self.pairs - len(known)):
            order = rng.permutation(self.studies)
            known.append([_reordered(tests, order) for tests in known[0]])
        return known

    def _test(
        self, pair: int, axis: int, difference: float, model: Differences, *, margins: bool = True
    ) -> Tests:
        scale = self.scales[axis]
        # One stream for all pairs: a pilot's pairs share their prompts, so they share the draws.
        seed = [self.seed, 2, axis]
        found: list[Mapping[str, Floats]] = []
        for number, sample in enumerate(model.samples(scale.sign * difference, self.studies, seed)):
            rng = np.random.default_rng([self.seed, 3, pair, axis, number])
            found.append(_tests(sample, scale, rng, self.draws, margins))
        return Tests(**{name: np.concatenate([part[name] for part in found]) for name in found[0]})


def _tests(
    sample: ClusterSample, scale: Scale, rng: np.random.Generator, draws: int, margins: bool
) -> dict[str, Floats]:
    columns = range(sample.totals.shape[1])
    p = np.array([sample.p_of_equal_means(column) for column in columns])
    # The p-value is the larger of this one and that of flipped signs (`p_of_difference`): where
    # this one is not significant, the other one need not be computed.
    open_ = np.flatnonzero(p < SIGNIFICANCE)
    if len(open_):
        p[open_] = np.maximum(p[open_], sign_flip_ps(sample.totals[:, open_], rng, draws))
    within = [
        np.array(
            [
                sample.p_at_most(column, -scale.margin, way * scale.sign, scale.apart)
                for column in (columns if margins else ())
            ]
        )
        for way in (1, -1)
    ]
    mean = sample.totals.sum(axis=0) / sample.sizes.sum(axis=0)
    return {"mean": mean, "p": p, "worse": within[0], "better": within[1]}


def _reordered(tests: Tests, order: Int[Codes, "studies"]) -> Tests:
    return Tests(tests.mean[order], tests.p[order], tests.worse[order], tests.better[order])


def _solve(power: Callable[[float], float], start: float, most: float, critical: float) -> float:
    """Return where a rising function reaches `POWER`; infinite where it does not.

    The guesses follow `_distance` inside a bracket that every value narrows. Near the end that line
    is more precise than the function, which is a share of simulated studies.
    """
    low, high = 0.0, most
    at = min(start, most)
    for _ in range(_STEPS):
        reached = power(at)
        better = at * _distance(POWER, critical) / _distance(reached, critical)
        if abs(reached - POWER) <= _NEAR and better <= most:
            return better
        low, high = (at, high) if reached < POWER else (low, at)
        if high - low <= 0.002 * high:
            break
        at = better if low < better < high else (low + high) / 2
    return at if high < most else math.inf


def _distance(power: float, critical: float) -> float:
    """Return how many standard errors a difference must be above 0 to be found so often."""
    return critical + _NORMAL.inv_cdf(min(max(power, 0.005), 0.995))
