"""All estimates of one axis."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mixmerge.evaluation.measures import Measure
from mixmerge.evaluation.scores import ScoreTable
from mixmerge.records.results import Average, AxisScore, Change, Interval, LengthControlled, Value
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
        measure: Measure,
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
            measure: what they are.
            base: name of the base model.
            pairs: models to contrast, a - b.
            draws: bootstrap samples.
            seed: where they come from: the same draws for every model.
            lengths: for the length-controlled win rate, where the measure compares answers.

        Raises:
            SampleError: a model has verdicts on too few clusters.
        """
        self._table = table
        self._measure = measure
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
        for a, b in pairs:
            add((a, b, None), table.scores[a] - table.scores[b])
        for model, scores in table.scores.items():
            change = scores - table.scores[base]
            for language in (None, *table.languages):
                add((model, base, language), np.where(table.rows(language), change, np.nan))
        self._sample = ClusterSample(np.stack(values, axis=1), table.cluster)
        for key, column in self._column.items():
            if key[2] is None:
                what = " - ".join(name for name in key[:2] if name is not None)
                unjudged = int(np.isnan(values[column]).sum())
                asked = f"{table.axis}, {what} ({unjudged} prompts without a verdict)"
                require_clusters(self._sample.clusters(column), asked, missing=unjudged)
        compares = measure.asks == "comparison"
        self._length_controlled = self._fit_lengths(lengths) if lengths and compares else {}

    def score(self, model: str) -> AxisScore:
        """Return everything that results say of one model."""
        scores, of_share = self._table.scores[model], self._measure.of_share
        low, high = self._measure.bounds(scores)
        return AxisScore(
            **dict(self._value(model, None)),
            missing=int(np.isnan(scores).sum()),
            bounds=(of_share(low), of_share(high)),
            outcomes=self._measure.outcomes(scores),
            average=self._average(model),
            length_controlled=self._length_controlled.get(model),
            by_language={
                language: self._value(model, language) for language in self._judged(model)
            },
        )

    def rate(self, model: str, language: str | None = None) -> Estimate:
        """Return a model's share of the measure's range, pooled or in one language."""
        return self._measure.estimate(self._sample, self._column[model, None, language])

    def difference(self, a: str, b: str) -> Estimate:
        """Return the mean of a - b over prompts with both verdicts, as a share of the range."""
        return self._measure.estimate_difference(self._sample, self._column[a, b, None])

    def difference_totals(self, a: str, b: str) -> Floats:
        """Return a - b summed over each cluster, shape (clusters,)."""
        totals: Floats = self._sample.totals[:, self._column[a, b, None]]
        return totals

    def is_independent(self, a: str, b: str) -> bool:
        """Say whether a - b is one yes-or-no comparison per cluster, as McNemar's test needs."""
        return self._measure.asks == "outcome" and self._sample.is_binary(self._column[a, b, None])

    def pooled_draws(self, models: Sequence[str]) -> Floats:
        """Return the pooled shares of models in every bootstrap draw, shape (draws, models)."""
        columns = [self._column[model, None, None] for model in models]
        totals, sizes = self._sample.totals[:, columns], self._sample.sizes[:, columns]
        return bootstrap_means(totals, sizes, self._n_draws, np.random.default_rng(self._seed))

    def _judged(self, model: str) -> list[str]:
        """Return the languages in which a model, and the base model, have verdicts."""
        return [
            language
            for language in self._table.languages
            if self._sample.clusters(self._column[model, self._base, language])
        ]

    def _value(self, model: str, language: str | None) -> Value:
        rate = self.rate(model, language)
        of_share, fixed = self._measure.of_share, self._fixed(model)
        ci = fixed or _in_units(rate.offered, of_share)
        change, absent = self._change(model, language)
        return Value(
            value=of_share(rate.value),
            ci=ci,
            n=rate.n,
            change_from_base=change,
            absent=({} if ci else {"ci": rate.absent}) | absent,
        )

    def _fixed(self, model: str) -> Interval | None:
        """Return the interval of a value that is no estimate: the base model's by definition."""
        # Against itself the base model ties, however few the prompts.
        if model != self._base or self._measure.of_base is None:
            return None
        value = self._measure.of_share(self._measure.of_base)
        return value, value

    def _change(self, model: str, language: str | None) -> tuple[Change | None, dict[str, str]]:
        """Return the change from the base model, and why its intervals are absent."""
        if model == self._base:
            return None, {}
        column = self._column[model, self._base, language]
        found = self._measure.estimate_difference(self._sample, column)
        absent = {"change_from_base.ci": found.absent} if found.absent else {}
        relative = None
        if self._measure.tells_relative:
            own, base = (self._column[name, None, language] for name in (model, self._base))
            relative = self._sample.relative_change(own, base)
            why = relative.absent if relative else "the base model's value is zero"
            absent |= {"change_from_base.relative_ci": why} if why else {}
        return Change(
            difference=self._measure.of_difference(found.value),
            ci=_in_units(found.offered, self._measure.of_difference),
            relative=relative.value if relative else None,
            relative_ci=relative.offered if relative else None,
        ), absent

    def _average(self, model: str) -> Average:
        columns = [self._column[model, None, language] for language in self._judged(model)]
        mean, of_share = self._sample.average_rate(columns), self._measure.of_share
        # What allows no pooled interval allows none of the languages' average.
        ends = None if self.rate(model).absent else mean.offered
        ci = self._fixed(model) or _in_units(ends, of_share)
        return Average(value=of_share(mean.value), ci=ci)

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
            rng=np.random.default_rng(self._seed),
        )
        return {
            model: LengthControlled(
                value=control.win_rate.value, ci=control.win_rate.offered, slope=control.slope
            )
            for model, control in zip(models, found, strict=True)
        }

    def _characters(self, model: str, lengths: Lengths) -> NDArray[np.float64]:
        return np.array([lengths[model][prompt] for prompt in self._table.prompts], dtype=float)


def _in_units(interval: Interval | None, unit: Callable[[float], float]) -> Interval | None:
    return None if interval is None else (unit(interval[0]), unit(interval[1]))
