"""The statistics of one task over training seeds: what holds for new seeds and new items."""

import math
from typing import Any

import numpy as np

from mixmerge.comparison.align import TaskTable
from mixmerge.comparison.gather import Logs
from mixmerge.comparison.result import ModelScore, OfLanguage, Pair, task_info
from mixmerge.errors import DataError
from mixmerge.records.results import Interval
from mixmerge.stats.bootstrap import Codes, Floats, cluster_totals
from mixmerge.stats.crossed import CrossedMean
from mixmerge.stats.estimate import MIN_CLUSTERS
from mixmerge.stats.seeds import (
    clusters_over_seeds,
    seed_spread,
    seeds_needed,
    smallest_over_seeds,
)


def check_seeds(logs: Logs) -> None:
    """Refuse scores that show nothing of how much trainings differ.

    Raises:
        DataError: no model has two seeds; there are totals without items.
    """
    known = [scores for by_model in logs.values() for scores in by_model.values()]
    if total := next((scores for scores in known if scores.totals), None):
        raise DataError(f"{total.origin}: has totals only; --seeds needs the scores of items.")
    if all(len({*scores.seeds}) < 2 for scores in known):
        raise DataError(
            "--seeds: at least two trainings of a model are required (seen: 1 of each). Give a run "
            "of every seed, a=run1 a=run2 b=run3 b=run4, or a table with a column `seed`."
        )


class OverSeeds:
    """Every model's mean, and its difference from the baseline, where both have several seeds."""

    def __init__(self, table: TaskTable) -> None:
        assert table.by_seed is not None
        self.table = table
        self.task = table.task
        self.models = [log.model for log in table.logs]
        self.notes = table.notes
        self.info = task_info(table.logs[0], table.better, table.bounds, len(table.items))
        self._width = table.bounds[1] - table.bounds[0]
        self._shares = table.as_shares(table.by_seed)
        """Shape (seeds, items, models)."""

    def score(self, model: str) -> ModelScore:
        """Return a model's mean over seeds and items."""
        table, column = self.table, self.models.index(model)
        values = self._shares[:, :, column]
        one = len({*table.logs[column].seeds}) == 1
        found = self._mean(values[:1] if one else values)
        low = table.bounds[0]
        ends = self._ends(found, 0.0)
        seen = int((~np.isnan(values)).any(axis=0).sum())
        return ModelScore(
            value=low + self._width * found.value,
            ci=(low + ends[0], low + ends[1]),
            n=seen,
            missing=len(table.items) - seen,
            epochs=table.epochs[column],
            origin=str(table.logs[column].origin),
        )

    def pairs(self, comparisons: int, seed: int) -> list[Pair]:
        """Return every model less the baseline; p-values are not adjusted yet."""
        del seed  # the p-value is of a formula
        return [self._pair(column, comparisons) for column in range(1, len(self.models))]

    def _pair(self, column: int, comparisons: int) -> Pair:
        table, width = self.table, self._width
        differences = self._shares[:, :, column] - self._shares[:, :, 0]
        found = self._mean(differences)
        both = ~np.isnan(differences).all(axis=0)
        means = [
            table.bounds[0] + width * float(np.nanmean(self._shares[:, both, each]))
            for each in (column, 0)
        ]
        return Pair(
            a=self.models[column],
            b=self.models[0],
            axis=table.task,
            difference=width * found.value,
            ci=self._ends(found, -1.0),
            p=found.p,
            p_adjusted=found.p,
            n=found.clusters,
            value_a=means[0],
            value_b=means[1],
            items=int(both.sum()),
            se=width * math.sqrt(found.variance),
            p_t=found.p,
            **self._power(differences, found, comparisons),
            by_seed=tuple(width * float(each) for each in np.nanmean(differences, axis=1)),
            verdict="undecided",
            by_language=self._by_language(differences),
        )

    def _mean(self, values: Floats, rows: Codes | slice = slice(None)) -> CrossedMean:
        """Return the mean of values of shape (seeds, items), for new seeds and clusters."""
        cluster = np.unique(self.table.cluster[rows], return_inverse=True)[1]
        own = values[:, rows].T
        totals, sizes = cluster_totals(own, cluster, int(cluster.max()) + 1)
        return CrossedMean.of(totals.T, sizes.T)

    def _ends(self, found: CrossedMean, lowest: float) -> Interval:
        """Return the interval in the units of scores; two seeds may give one beyond the range."""
        low, high = found.estimate().interval
        return self._width * max(lowest, low), self._width * min(1.0, high)

    def _power(self, differences: Floats, found: CrossedMean, tests: int) -> dict[str, Any]:
        """Return what this sample would show, and the seeds or items that show the difference."""
        table = self.table
        totals, sizes = cluster_totals(differences.T, table.cluster, int(table.cluster.max()) + 1)
        complete = (sizes > 0).all(axis=1)
        clusters = int(complete.sum())
        if clusters < MIN_CLUSTERS or found.variance <= 0:
            return {"detectable": None, "needed": None}
        means = (totals[complete] / sizes[complete]).T
        spread, wanted = seed_spread(means), abs(found.value)
        error = float(np.sqrt(means.var(axis=1, ddof=1).mean() / clusters))
        smallest = smallest_over_seeds(spread, found.seeds, error, clusters, tests)
        more = clusters_over_seeds(spread, found.seeds, error, clusters, tests, wanted)
        each = float(sizes[complete].sum()) / found.seeds / clusters
        return {
            "detectable": self._width * smallest,
            "needed": more and math.ceil(more * each),
            "needed_seeds": seeds_needed(spread, wanted, error, clusters, tests),
        }

    def _by_language(self, differences: Floats) -> dict[str, OfLanguage]:
        language = np.array(self.table.language)
        names = dict.fromkeys(self.table.language)
        if len(names) < 2:
            return {}
        seen = ~np.isnan(differences).all(axis=0)
        result = {}
        for name in names:
            rows = np.flatnonzero((language == name) & seen)
            if len({*self.table.cluster[rows].tolist()}) < MIN_CLUSTERS:
                continue
            found = self._mean(differences, rows)
            result[name] = OfLanguage(
                difference=self._width * found.value,
                ci=self._ends(found, -1.0),
                n=len(rows),
            )
        return result
