"""Scores of one axis: a table of prompts by models, and all estimates from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mixmerge.errors import DataError
from mixmerge.evaluation.measures import Measure
from mixmerge.records import Axis, Verdict, by_prompt, score_of
from mixmerge.records.results import Average, AxisScore, Change, Interval, LengthControlled, Value
from mixmerge.stats.bootstrap import Floats, bootstrap_means
from mixmerge.stats.estimate import Estimate, require_clusters
from mixmerge.stats.intervals import ClusterSample
from mixmerge.stats.length_control import length_controlled, length_feature

Worth = Callable[[Verdict], float]
"""Returns the score of a verdict with an outcome, from 0 to 1."""


@dataclass(frozen=True)
class ScoreTable:
    """Scores of all models on the same prompts of one axis."""

    axis: Axis
    prompts: list[str]
    """Their ids."""
    cluster: NDArray[np.intp]
    """The cluster of each prompt, integers from 0, shape (prompts,)."""
    language: NDArray[np.str_]
    """Shape (prompts,)."""
    scores: dict[str, Floats]
    """By model, shape (prompts,), from 0 to 1; NaN without a verdict."""

    @property
    def languages(self) -> list[str]:
        """The languages, in order of first appearance."""
        return list(dict.fromkeys(self.language.tolist()))

    def rows(self, language: str | None) -> NDArray[np.bool_]:
        """Return which prompts are in a language; None is all, shape (prompts,)."""
        if language is None:
            return np.ones(len(self.language), dtype=np.bool_)
        return np.asarray(self.language == language)


def score_table(axis: Axis, verdicts: Mapping[str, Sequence[Verdict]], worth: Worth) -> ScoreTable:
    """Turn the verdicts on some models into one table, with the score of `score_of`.

    Raises:
        DataError: a verdict is for another axis or has no score, or the models were not judged on
            the same prompts.
    """
    by_model = {model: _by_prompt(axis, model, rows) for model, rows in verdicts.items()}
    first_model = next(iter(by_model))
    first = by_model[first_model]
    for model, own in by_model.items():
        odd = next(iter(own.keys() ^ first.keys()), None)
        if odd is not None:
            raise DataError(
                f"axis {axis}: the prompt {odd!r} was judged for only one of {first_model!r} and "
                f"{model!r}. All models need verdicts on the same prompts: judge them again."
            )
    rows = [entries[0] for entries in first.values()]
    codes = {name: code for code, name in enumerate(dict.fromkeys(row.cluster for row in rows))}
    return ScoreTable(
        axis=axis,
        prompts=list(first),
        cluster=np.array([codes[row.cluster] for row in rows], dtype=np.intp),
        language=np.array([row.language for row in rows]),
        scores={
            model: np.array([score_of(own[prompt], worth) for prompt in first])
            for model, own in by_model.items()
        },
    )


def _by_prompt(axis: Axis, model: str, rows: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    for row in rows:
        if row.axis != axis:
            raise DataError(
                f"model {model!r}, prompt {row.prompt!r}: a verdict on {axis} is required "
                f"(seen: one on {row.axis})."
            )
    return by_prompt(rows)


_Key = tuple[str, str | None, str | None]

Lengths = Mapping[str, Mapping[str, int]]
"""Characters of the answers, by model and prompt."""


class AxisScores:
    """Estimates for all models on one axis, pooled and by language.

    Pooled estimates need at least `MIN_CLUSTERS` clusters. A language with fewer has no interval; a
    language without any verdict is left out.
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

        All models share their draws. ``pairs`` are the contrasts a - b. With ``lengths``,
        comparisons also have length-controlled win rates.

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
                require_clusters(self._sample.clusters(column), asked, unjudged)
        compares = measure.asks == "comparison"
        self._length_controlled = self._fit_lengths(lengths) if lengths and compares else {}

    def score(self, model: str) -> AxisScore:
        """Return all results of one model."""
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
        """Return the mean of a - b over prompts with both scores, as a share of the range."""
        return self._measure.estimate_difference(self._sample, self._column[a, b, None])

    def differences(self, models: Sequence[str], other: str) -> list[Estimate]:
        """Return each model less another one, as shares of the range, and always with an interval.

        Where the sample allows none that is exact, it is one that is too wide.
        """
        scores = self._table.scores
        columns = np.stack([scores[model] - scores[other] for model in models], axis=1)
        sample = ClusterSample(columns, self._table.cluster)

        def estimate(column: int) -> Estimate:
            if not sample.clusters(column):
                return Estimate(0.0, -1.0, 1.0, 0, 0, "none", "no prompt has both verdicts")
            found = self._measure.estimate_difference(sample, column)
            low, high = sample.limits(column) if found.absent else found.interval
            return replace(found, low=low, high=high)

        return [estimate(column) for column in range(len(models))]

    def change_difference(
        self, first: tuple[str, str], second: tuple[str, str], rng: np.random.Generator
    ) -> tuple[Estimate, float]:
        """Compare the change from one model to another with that of a second such pair.

        Over prompts with all four scores.

        Returns:
            The mean of ``(first[1] - first[0]) - (second[1] - second[0])``, as a share of the
            range and always with an interval, as in `differences`; and the two-sided p-value of
            "it is zero".
        """
        scores = self._table.scores
        (a, b), (c, d) = ((scores[before], scores[after]) for before, after in (first, second))
        # Halved, because a sample's differences are within -1 and 1.
        halves = ((b - a) - (d - c)) / 2
        sample = ClusterSample(halves[:, None], self._table.cluster)
        if not sample.clusters(0):
            return Estimate(0.0, -2.0, 2.0, 0, 0, "none", "no prompt has all four verdicts"), 1.0
        found = self._measure.estimate_difference(sample, 0)
        low, high = sample.limits(0) if found.absent else found.interval
        p = sample.p_of_difference(0, rng, self._n_draws)
        return replace(found, value=2 * found.value, low=2 * low, high=2 * high), p

    def p_of_difference(self, a: str, b: str, rng: np.random.Generator) -> float:
        """Return the two-sided p-value of "the mean of a - b is zero"."""
        return self._sample.p_of_difference(self._column[a, b, None], rng, self._n_draws)

    def p_within(self, a: str, b: str, margin: float, sign: int) -> float:
        """Return the one-sided p-value of "sign * (a - b) is -margin or less".

        The margin is a share of the measure's range. If higher is better, the sign 1 tests whether
        a is worse, and -1 whether it is better.
        """
        column = self._column[a, b, None]
        return self._sample.p_at_most(column, -margin, sign, self._measure.apart)

    def difference_totals(self, a: str, b: str) -> Floats:
        """Return a - b summed over each cluster, shape (clusters,)."""
        totals: Floats = self._sample.totals[:, self._column[a, b, None]]
        return totals

    def is_independent(self, a: str, b: str) -> bool:
        """Return whether a - b is one binary pair per cluster, as McNemar's test requires."""
        return self._measure.asks == "outcome" and self._sample.is_binary(self._column[a, b, None])

    def pooled_draws(self, models: Sequence[str]) -> Floats:
        """Return the pooled shares of models in every bootstrap draw, shape (draws, models)."""
        columns = [self._column[model, None, None] for model in models]
        totals, sizes = self._sample.totals[:, columns], self._sample.sizes[:, columns]
        return bootstrap_means(totals, sizes, self._n_draws, np.random.default_rng(self._seed))

    def _judged(self, model: str) -> list[str]:
        """Return the languages in which both a model and the base model have verdicts."""
        return [
            language
            for language in self._table.languages
            if self._sample.clusters(self._column[model, self._base, language])
        ]

    def _value(self, model: str, language: str | None) -> Value:
        rate = self.rate(model, language)
        of_share, fixed = self._measure.of_share, self._fixed(model)
        ci = fixed or in_units(rate.offered, of_share)
        change, absent = self._change(model, language)
        return Value(
            value=of_share(rate.value),
            ci=ci,
            n=rate.n,
            change_from_base=change,
            absent=({} if ci else {"ci": rate.absent}) | absent,
        )

    def _fixed(self, model: str) -> Interval | None:
        """Return the interval of the base model's value if that is fixed by definition."""
        # It ties with itself on any number of prompts.
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
            ci=in_units(found.offered, self._measure.of_difference),
            relative=relative.value if relative else None,
            relative_ci=relative.offered if relative else None,
        ), absent

    def _average(self, model: str) -> Average:
        columns = [self._column[model, None, language] for language in self._judged(model)]
        mean, of_share = self._sample.average_rate(columns), self._measure.of_share
        # Without a pooled interval there is none for the average over languages.
        ends = None if self.rate(model).absent else mean.offered
        ci = self._fixed(model) or in_units(ends, of_share)
        return Average(value=of_share(mean.value), ci=ci)

    def _fit_lengths(self, lengths: Lengths) -> dict[str, LengthControlled]:
        table, base = self._table, self._characters(self._base, lengths)
        others = (name for name in table.scores if name != self._base and name in lengths)
        models = [name for name in others if not self.rate(name).absent]
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


def in_units(interval: Interval | None, unit: Callable[[float], float]) -> Interval | None:
    """Return an interval of shares in the units of a measure; None stays None."""
    return None if interval is None else (unit(interval[0]), unit(interval[1]))
