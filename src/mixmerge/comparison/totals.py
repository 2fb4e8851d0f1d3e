"""Comparison of totals: a leaderboard has a value and a standard error of each model, no items."""

import math
from collections.abc import Sequence
from statistics import NormalDist

from mixmerge.comparison.result import ModelScore, Pair, task_info
from mixmerge.logs.scores import Scores
from mixmerge.stats.estimate import LEVEL
from mixmerge.stats.power import clusters_needed, smallest_difference


class Totals:
    """The totals of all models on one task, the baseline's first.

    Without items nothing is paired: the errors of two models add up, as if each had answered items
    of its own. Models that find the same items hard differ less by chance than that.
    """

    def __init__(self, logs: Sequence[Scores]) -> None:
        self._logs = {log.model: log for log in logs}
        self.models = list(self._logs)
        self.task = logs[0].task
        self.info = task_info(logs[0], logs[0].better or "higher", (0.0, 1.0), _total(logs[0])[2])
        self.notes = [
            f"{self.task}: totals only, so not paired; annotations show smaller differences"
        ]

    def score(self, model: str) -> ModelScore:
        """Return a model's value, with the interval of its standard error."""
        value, error, n = _total(self._logs[model])
        return ModelScore(
            value=value, ci=_interval(value, error), n=n, missing=0, epochs=1,
            origin=str(self._logs[model].origin),
        )  # fmt: skip

    def pairs(self, comparisons: int, seed: int) -> list[Pair]:
        """Return every model less the baseline; p-values are not adjusted yet."""
        del seed
        base = self._logs[self.models[0]]
        return [_pair(self._logs[model], base, comparisons) for model in self.models[1:]]


def _pair(a: Scores, b: Scores, comparisons: int) -> Pair:
    (value_a, error_a, n_a), (value_b, error_b, n_b) = _total(a), _total(b)
    difference, error, n = value_a - value_b, math.hypot(error_a, error_b), min(n_a, n_b)
    p = 2 * NormalDist().cdf(-abs(difference) / error) if error else float(difference == 0)
    square = min(1.0, n * error**2 + difference**2)
    return Pair(
        a=a.model, b=b.model, axis=a.task, difference=difference,
        ci=_interval(difference, error), p=p, p_adjusted=p, p_t=p, n=n, items=n, se=error,
        value_a=value_a, value_b=value_b, verdict="undecided",
        detectable=smallest_difference(n, square, comparisons) if square else None,
        needed=clusters_needed(difference, square, comparisons) if difference else None,
    )  # fmt: skip


def _total(log: Scores) -> tuple[float, float, int]:
    error, n = log.totals or (0.0, 0)
    return log.values[0], error, n


def _interval(value: float, error: float) -> tuple[float, float]:
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * error
    return value - half, value + half
