"""The statistics of one task: every model's mean, and its paired difference from the baseline."""

import math

import numpy as np
from scipy.special import stdtr

from mixmerge.comparison.align import TaskTable
from mixmerge.comparison.result import ModelScore, OfLanguage, Pair, task_info
from mixmerge.records.results import Interval
from mixmerge.stats.estimate import GRADES_APART, Estimate
from mixmerge.stats.intervals import ClusterMean, ClusterSample
from mixmerge.stats.paired import mcnemar_p, sign_flip_ps
from mixmerge.stats.power import clusters_needed, smallest_difference

DRAWS = 10_000
"""Fewest random signs of a test."""


class Sample:
    """The clustered sums of one task: of each model, of each difference, and by language."""

    def __init__(self, table: TaskTable) -> None:
        self.table = table
        self.task = table.task
        self.models = [log.model for log in table.logs]
        self.notes = table.notes
        self.info = task_info(table.logs[0], table.better, table.bounds, len(table.items))
        shares = table.shares
        self._paired = shares[:, 1:] - shares[:, :1]
        whole = np.isin(shares, (0.0, 1.0)) | np.isnan(shares)
        self._apart = 0.0 if whole.all() else GRADES_APART
        self._scores = ClusterSample(shares, table.cluster)
        self._differences = ClusterSample(self._paired, table.cluster)

    def score(self, model: str) -> ModelScore:
        """Return a model's mean over its own items."""
        table, column = self.table, self.models.index(model)
        found = self._scores.rate(column, self._apart)
        low, high = table.bounds
        return ModelScore(
            value=low + (high - low) * found.value,
            ci=_scaled(found, high - low, low),
            n=found.n,
            missing=len(table.items) - found.n,
            epochs=table.epochs[column],
            origin=str(table.logs[column].origin),
            absent={"ci": found.absent} if found.absent else {},
        )

    def pairs(self, comparisons: int, seed: int) -> list[Pair]:
        """Return every model less the baseline; p-values are not adjusted yet."""
        # Random signs show no p-value below 1 / draws, and Holm multiplies the smallest by the
        # number of comparisons.
        draws = max(DRAWS, min(200 * comparisons, 1_000_000))
        flipped = sign_flip_ps(self._differences.totals, np.random.default_rng(seed), draws)
        return [self._pair(column, float(p), comparisons) for column, p in enumerate(flipped)]

    def _pair(self, column: int, flipped: float, comparisons: int) -> Pair:
        sample, width = self._differences, self.table.bounds[1] - self.table.bounds[0]
        found = sample.difference(column, self._apart)
        totals = sample.totals[:, column]
        mean = ClusterMean.of(totals, sample.sizes[:, column])
        error = math.sqrt(mean.variance)
        square = mean.clusters * mean.variance + mean.value**2
        seen = ~np.isnan(self._paired[:, column])
        means = self.table.values[seen][:, [column + 1, 0]].mean(axis=0)
        p = max(flipped, sample.p_of_equal_means(column))
        needed = clusters_needed(mean.value, square, comparisons) if mean.value else None
        return Pair(
            a=self.models[column + 1],
            b=self.models[0],
            axis=self.table.task,
            difference=width * mean.value,
            ci=_scaled(found, width),
            p=p,
            p_adjusted=p,
            p_mcnemar=mcnemar_p(int(np.sum(totals > 0)), int(np.sum(totals < 0)))
            if sample.is_binary(column)
            else None,
            n=mean.clusters,
            absent={"ci": found.absent} if found.absent else {},
            value_a=float(means[0]),
            value_b=float(means[1]),
            items=mean.n,
            se=width * error,
            p_t=_t_p(mean, error),
            detectable=width * smallest_difference(mean.clusters, min(1.0, square), comparisons)
            if square
            else None,
            needed=needed and math.ceil(needed * mean.n / mean.clusters),
            verdict="undecided",
            by_language=self._by_language(column),
        )

    def _by_language(self, column: int) -> dict[str, OfLanguage]:
        width = self.table.bounds[1] - self.table.bounds[0]
        language = np.array(self.table.language)
        names = dict.fromkeys(self.table.language)
        if len(names) < 2:
            return {}
        own = [np.where(language == name, self._paired[:, column], np.nan) for name in names]
        sample = ClusterSample(np.stack(own, axis=1), self.table.cluster)
        found = {name: sample.difference(place, self._apart) for place, name in enumerate(names)
                 if sample.clusters(place)}  # fmt: skip
        return {
            name: OfLanguage(
                difference=width * each.value,
                ci=_scaled(each, width),
                n=each.n,
            )
            for name, each in found.items()
        }


def _scaled(found: Estimate, width: float, low: float = 0.0) -> Interval | None:
    """Return an interval of shares of a range in the units of scores; None stays None."""
    ends = found.offered
    return None if ends is None else (low + width * ends[0], low + width * ends[1])


def _t_p(mean: ClusterMean, error: float) -> float:
    if error <= 1e-12:
        return 1.0 if mean.value == 0 else 0.0
    return float(2 * stdtr(mean.effective - 1, -abs(mean.value) / error))
