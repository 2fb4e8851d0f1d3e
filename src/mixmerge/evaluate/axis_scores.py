"""All estimates of one axis, from one set of bootstrap draws."""

import math
from collections.abc import Sequence

import numpy as np

from mixmerge.evaluate.scores import ScoreTable
from mixmerge.records.results import (
    GeneralScore,
    HarmRate,
    Interval,
    OverRefusalScore,
    Refusals,
    SafetyScore,
    WinRate,
)
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.estimate import Estimate, require_clusters
from mixmerge.stats.intervals import ClusterBootstrap

_Key = tuple[str, str | None, str | None]


class AxisScores:
    """Estimates for every model of one axis, pooled and by language.

    Pooled estimates rest on at least `MIN_CLUSTERS` clusters or are refused. A language with
    fewer is still shown, with the wide closed-form interval of `mixmerge.stats.intervals`; a
    language without any verdict is left out.
    """

    def __init__(
        self,
        table: ScoreTable,
        base: str,
        pairs: Sequence[tuple[str, str]],
        *,
        draws: int,
        rng: np.random.Generator,
    ) -> None:
        """Resample once for all models, languages and pairs.

        Args:
            table: the scores of all models, the base included.
            base: name of the base model.
            pairs: models to contrast, a - b.
            draws: bootstrap samples.
            rng: where they come from.

        Raises:
            SampleError: a model has verdicts on too few clusters.
        """
        self._table = table
        self._base = base
        self._column: dict[_Key, int] = {}
        values: list[Floats] = []

        def add(key: _Key, column: Floats) -> None:
            if key not in self._column:
                self._column[key] = len(values)
                values.append(column)

        for model, scores in table.scores.items():
            for language in (None, *table.languages):
                inside = np.where(table.rows(language), scores, np.nan)
                if table.axis == "general":
                    # A win rate is half the way from its opposite: (wins - losses + 1) / 2.
                    inside = 2 * inside - 1
                add((model, None, language), inside)
        for a, b in [*pairs, *((model, base) for model in table.scores)]:
            add((a, b, None), table.scores[a] - table.scores[b])
        self._bootstrap = ClusterBootstrap(
            np.stack(values, axis=1), table.cluster, draws=draws, rng=rng
        )
        for key, column in self._column.items():
            if key[2] is None:
                what = " - ".join(name for name in key[:2] if name is not None)
                unjudged = int(np.isnan(values[column]).sum())
                asked = f"{table.axis}, {what} ({unjudged} prompts without a verdict)"
                require_clusters(self._bootstrap.clusters(column), asked)

    def general(self, model: str) -> GeneralScore:
        """Return the win rate of a model against the base model."""
        scores = self._table.scores[model]
        return GeneralScore(
            **dict(self._win_rate(model, None)),
            wins=int(np.sum(scores > 0.5)),
            ties=int(np.sum(scores == 0.5)),
            losses=int(np.sum(scores < 0.5)),
            missing=self._missing(model),
            by_language={
                language: self._win_rate(model, language) for language in self._judged(model)
            },
        )

    def safety(self, model: str) -> SafetyScore:
        """Return the harm rate of a model and its change from the base model's."""
        difference, _ = self.contrast(model, self._base)
        return SafetyScore(
            **dict(self._harm_rate(model, None)),
            harm_ci=self._rate(model, None).interval,
            difference=difference.value,
            difference_ci=(0.0, 0.0) if model == self._base else difference.interval,
            missing=self._missing(model),
            by_language={
                language: self._harm_rate(model, language) for language in self._judged(model)
            },
        )

    def over_refusal(self, model: str) -> OverRefusalScore:
        """Return how often a model refuses harmless requests."""
        return OverRefusalScore(
            **dict(self._refusals(model, None)),
            missing=self._missing(model),
            by_language={
                language: self._refusals(model, language) for language in self._judged(model)
            },
        )

    def contrast(self, a: str, b: str) -> tuple[Estimate, Floats]:
        """Return the mean of a - b over prompts with both verdicts, and its cluster totals."""
        column = self._column[a, b, None]
        return self._bootstrap.difference(column), self._bootstrap.totals(column)

    def _missing(self, model: str) -> int:
        return int(np.isnan(self._table.scores[model]).sum())

    def _judged(self, model: str) -> list[str]:
        """Return the languages in which a model, and the base model, have verdicts."""
        return [
            language
            for language in self._table.languages
            if all(
                self._bootstrap.clusters(self._column[name, None, language])
                for name in (model, self._base)
            )
        ]

    def _rate(self, model: str, language: str | None) -> Estimate:
        return self._bootstrap.rate(self._column[model, None, language])

    def _win_rate(self, model: str, language: str | None) -> WinRate:
        balance = self._bootstrap.difference(self._column[model, None, language])
        low, high = ((end + 1) / 2 for end in balance.interval)
        if model == self._base:
            low = high = 0.5
        return WinRate(win_rate=(balance.value + 1) / 2, ci=(low, high), n=balance.n)

    def _harm_rate(self, model: str, language: str | None) -> HarmRate:
        rate = self._rate(model, language)
        change = self._bootstrap.relative_change(
            self._column[model, None, language], self._column[self._base, None, language]
        )
        return HarmRate(
            harm_rate=rate.value,
            relative_change=change.value if change else None,
            ci=self._change_interval(model, change),
            n=rate.n,
        )

    def _change_interval(self, model: str, change: Estimate | None) -> Interval | None:
        if change is None or not all(map(math.isfinite, change.interval)):
            return None
        return (0.0, 0.0) if model == self._base else change.interval

    def _refusals(self, model: str, language: str | None) -> Refusals:
        rate = self._rate(model, language)
        return Refusals(rate=rate.value, ci=rate.interval, n=rate.n)
