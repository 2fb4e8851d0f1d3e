"""All estimates of one axis."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mixmerge.evaluation.scores import ScoreTable
from mixmerge.records.results import (
    Average,
    GeneralScore,
    HarmRate,
    Interval,
    LengthControlled,
    OverRefusalScore,
    Refusals,
    SafetyScore,
    WinRate,
)
from mixmerge.stats.bootstrap import Floats, bootstrap_means
from mixmerge.stats.estimate import Estimate, require_clusters
from mixmerge.stats.intervals import ClusterSample
from mixmerge.stats.length_control import length_controlled, length_feature

_Key = tuple[str, str | None, str | None]

Lengths = Mapping[str, Mapping[str, int]]
"""Characters of the answers, by model and prompt."""


class AxisScores:
    """Estimates for every model of one axis, pooled and by language.

    Pooled estimates rest on at least `MIN_CLUSTERS` clusters or are refused. A language with
    fewer is still shown, without an interval; a language without any verdict is left out.
    """

    def __init__(
        self,
        table: ScoreTable,
        base: str,
        pairs: Sequence[tuple[str, str]],
        *,
        draws: int,
        seed: Sequence[int],
        lengths: Lengths | None = None,
    ) -> None:
        """Sum the scores of all models, languages and pairs by cluster.

        Args:
            table: the scores of all models, the base included.
            base: name of the base model.
            pairs: models to contrast, a - b.
            draws: bootstrap samples.
            seed: where they come from: the same draws for every model.
            lengths: for the length-controlled win rate.

        Raises:
            SampleError: a model has verdicts on too few clusters.
        """
        self._table = table
        self._base = base
        self._n_draws = draws
        self._seed = seed
        self._column: dict[_Key, int] = {}
        values: list[Floats] = []

        def add(key: _Key, column: Floats) -> None:
            if key not in self._column:
                self._column[key] = len(values)
                values.append(column)

        for model, scores in table.scores.items():
            for language in (None, *table.languages):
                add((model, None, language), np.where(table.rows(language), scores, np.nan))
        for a, b in [*pairs, *((model, base) for model in table.scores)]:
            add((a, b, None), table.scores[a] - table.scores[b])
        self._sample = ClusterSample(np.stack(values, axis=1), table.cluster)
        for key, column in self._column.items():
            if key[2] is None:
                what = " - ".join(name for name in key[:2] if name is not None)
                unjudged = int(np.isnan(values[column]).sum())
                asked = f"{table.axis}, {what} ({unjudged} prompts without a verdict)"
                require_clusters(self._sample.clusters(column), asked)
        self._length_controlled = self._fit_lengths(lengths) if lengths else {}

    def general(self, model: str) -> GeneralScore:
        """Return the win rate of a model against the base model."""
        scores = self._table.scores[model]
        return GeneralScore(
            **dict(self._win_rate(model, None)),
            wins=int(np.sum(scores > 0.5)),
            ties=int(np.sum(scores == 0.5)),
            losses=int(np.sum(scores < 0.5)),
            missing=self._missing(model),
            bounds=self._bounds(model),
            average=self._average(model),
            length_controlled=self._length_controlled.get(model),
            by_language={
                language: self._win_rate(model, language) for language in self._judged(model)
            },
        )

    def safety(self, model: str) -> SafetyScore:
        """Return the harm rate of a model and its change from the base model's."""
        difference = self.difference(model, self._base)
        pooled = self._harm_rate(model, None)
        ci = (0.0, 0.0) if model == self._base else difference.offered
        return SafetyScore(
            **dict(pooled, absent=pooled.absent | _absent(difference_ci=(ci, difference))),
            difference=difference.value,
            difference_ci=ci,
            missing=self._missing(model),
            bounds=self._bounds(model),
            average=self._average(model),
            by_language={
                language: self._harm_rate(model, language) for language in self._judged(model)
            },
        )

    def over_refusal(self, model: str) -> OverRefusalScore:
        """Return how often a model refuses harmless requests."""
        return OverRefusalScore(
            **dict(self._refusals(model, None)),
            missing=self._missing(model),
            bounds=self._bounds(model),
            average=self._average(model),
            by_language={
                language: self._refusals(model, language) for language in self._judged(model)
            },
        )

    def difference(self, a: str, b: str) -> Estimate:
        """Return the mean of a - b over prompts with both verdicts."""
        return self._sample.difference(self._column[a, b, None])

    def difference_totals(self, a: str, b: str) -> Floats:
        """Return a - b summed over each cluster, shape (clusters,)."""
        totals: Floats = self._sample.totals[:, self._column[a, b, None]]
        return totals

    def is_independent(self, a: str, b: str) -> bool:
        """Say whether a - b is one yes-or-no comparison per cluster, as McNemar's test needs."""
        return self._sample.is_binary(self._column[a, b, None])

    def pooled_draws(self, models: Sequence[str]) -> Floats:
        """Return the pooled rates of models in every bootstrap draw, shape (draws, models)."""
        columns = [self._column[model, None, None] for model in models]
        totals, sizes = self._sample.totals[:, columns], self._sample.sizes[:, columns]
        return bootstrap_means(totals, sizes, self._n_draws, self._rng())

    def rate(self, model: str, language: str | None = None) -> Estimate:
        """Return the rate of a model, pooled or in one language."""
        return self._sample.rate(self._column[model, None, language])

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng(self._seed)

    def _missing(self, model: str) -> int:
        return int(np.isnan(self._table.scores[model]).sum())

    def _bounds(self, model: str) -> Interval:
        scores = self._table.scores[model]
        low = float(np.nansum(scores)) / len(scores)
        return low, low + self._missing(model) / len(scores)

    def _judged(self, model: str) -> list[str]:
        """Return the languages in which a model, and the base model, have verdicts."""
        return [
            language
            for language in self._table.languages
            if all(
                self._sample.clusters(self._column[name, None, language])
                for name in (model, self._base)
            )
        ]

    def _average(self, model: str) -> Average:
        columns = [self._column[model, None, language] for language in self._judged(model)]
        mean = self._sample.average_rate(columns)
        is_fixed = model == self._base and self._table.axis == "general"
        return Average(rate=mean.value, ci=(0.5, 0.5) if is_fixed else mean.offered)

    def _fit_lengths(self, lengths: Lengths) -> dict[str, LengthControlled]:
        """Return the length-controlled win rates of the models that have one."""
        table, base = self._table, self._characters(self._base, lengths)
        models = [m for m in table.scores if m != self._base and not self.rate(m).absent]
        found = length_controlled(
            [table.scores[model] for model in models],
            [
                length_feature(self._characters(model, lengths), base, table.language)
                for model in models
            ],
            table.cluster,
            draws=self._n_draws,
            rng=self._rng(),
        )
        return {
            model: LengthControlled(
                win_rate=control.win_rate.value, ci=control.win_rate.offered, slope=control.slope
            )
            for model, control in zip(models, found, strict=True)
        }

    def _characters(self, model: str, lengths: Lengths) -> NDArray[np.float64]:
        return np.array([lengths[model][prompt] for prompt in self._table.prompts], dtype=float)

    def _win_rate(self, model: str, language: str | None) -> WinRate:
        rate = self.rate(model, language)
        # Against itself the base model ties by definition, however few the prompts.
        ci = (0.5, 0.5) if model == self._base else rate.offered
        return WinRate(win_rate=rate.value, ci=ci, n=rate.n, absent=_absent(ci=(ci, rate)))

    def _harm_rate(self, model: str, language: str | None) -> HarmRate:
        rate = self.rate(model, language)
        change = self._sample.relative_change(
            self._column[model, None, language], self._column[self._base, None, language]
        )
        ci = change.offered if change else None
        if change and model == self._base:
            ci = (0.0, 0.0)
        return HarmRate(
            harm_rate=rate.value,
            harm_ci=rate.offered,
            relative_change=change.value if change else None,
            ci=ci,
            n=rate.n,
            absent=_absent(ci=(ci, change), harm_ci=(rate.offered, rate)),
        )

    def _refusals(self, model: str, language: str | None) -> Refusals:
        rate = self.rate(model, language)
        return Refusals(
            rate=rate.value, ci=rate.offered, n=rate.n, absent=_absent(ci=(rate.offered, rate))
        )


def _absent(**fields: tuple[Interval | None, Estimate | None]) -> dict[str, str]:
    """Say of each field that has no interval why."""
    return {
        name: estimate.absent if estimate else "the base model is never harmful"
        for name, (interval, estimate) in fields.items()
        if interval is None
    }
