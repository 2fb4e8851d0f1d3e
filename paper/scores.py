"""Scores of every model over seeds, and estimates of linear combinations of them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mixmerge.records import Axis
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.crossed import CrossedMean
from mixmerge.stats.estimate import Estimate

Formula = Mapping[str, float | Floats]
"""Models with their coefficients: ``{"dpo-slerp": 1, "dpo-15": -1}`` is a difference.

A coefficient that differs between seeds has shape (seeds, 1)."""


@dataclass(frozen=True)
class AxisTable:
    """Scores of one axis: the same prompts for every model and seed."""

    cluster: NDArray[np.intp]
    """The question behind each prompt, integers from 0, shape (prompts,)."""
    language: NDArray[np.str_]
    """Shape (prompts,)."""
    scores: dict[str, Floats]
    """By model, shape (seeds, prompts): win 1, tie 1/2, loss 0; yes 1, no 0; NaN without
    verdict."""

    def by_question(self, formula: Formula, language: str | None) -> tuple[Floats, Floats]:
        """Return sums and numbers of values, both of shape (seeds, clusters)."""
        rows = np.full(len(self.language), True) if language is None else self.language == language
        values = sum(
            (share * self.scores[model][:, rows] for model, share in formula.items()),
            start=np.zeros(1),
        )
        seen = ~np.isnan(values)
        shape = (len(values), int(self.cluster.max()) + 1)
        totals, sizes = np.zeros(shape), np.zeros(shape)
        columns = self.cluster[rows]
        for seed in range(shape[0]):
            np.add.at(totals[seed], columns, np.where(seen[seed], values[seed], 0.0))
            np.add.at(sizes[seed], columns, seen[seed])
        return totals, sizes


@dataclass(frozen=True)
class Scores:
    """Scores of all axes."""

    axes: dict[Axis, AxisTable]
    base: str = "base"

    def has(self, models: Iterable[str]) -> bool:
        """Return whether all these models have scores on every axis."""
        return all(model in table.scores for model in models for table in self.axes.values())

    def estimate(self, axis: Axis, formula: Formula, language: str | None = None) -> Estimate:
        """Return a combination of the models' rates with its interval.

        Args:
            axis: of the verdicts.
            formula: which combination.
            language: in one language; None: all together.
        """
        return CrossedMean.of(*self.axes[axis].by_question(formula, language)).estimate()

    def rate(self, axis: Axis, model: str) -> Estimate:
        """Return one model's rate; its interval ends at 0 and 1."""
        return _cut(self.estimate(axis, {model: 1.0}), 0.0, 1.0)

    @property
    def base_harm(self) -> float:
        """The base model's harm rate; the paper reports harm in percent of it."""
        return self.estimate("safety", {self.base: 1.0}).value

    def relative_change(self, model: str, language: str | None = None) -> Estimate | None:
        """Return (harm - harm of the base) / harm of the base.

        The interval is that of the ratio's linear approximation (the delta method), which accounts
        for the base being an estimate, too; it is cut at -1. None if the base is never harmful.
        """
        own = self.estimate("safety", {model: 1.0}, language).value
        base = self.estimate("safety", {self.base: 1.0}, language).value
        if base == 0:
            return None
        change = own / base - 1
        if model == self.base:
            formula = {model: 0.0}
        else:
            formula = {model: 1 / base, self.base: -(1 + change) / base}
        found = self.estimate("safety", formula, language)
        # With missing verdicts, the prompts judged for both have other means than each model's own.
        return _cut(_shifted(found, change - found.value), -1.0, math.inf)

    def balance(self, formula: Formula) -> Estimate:
        """Return a combination of the models' balances: win rate - harm rate.

        The questions of the two axes are separate samples, but the seeds are shared, so the
        interval accounts for the correlation of the two axes over trainings.
        """
        negative = {model: -share for model, share in formula.items()}
        parts: dict[Axis, Formula] = {"general": formula, "safety": negative}
        values = sum((self.by_seed(axis, own) for axis, own in parts.items()), np.zeros(1))
        return self.over_axes(parts, values)

    def by_seed(self, axis: Axis, formula: Formula) -> Floats:
        """Return a combination of the models' rates in each seed, shape (seeds,)."""
        totals, sizes = self.axes[axis].by_question(formula, None)
        means: Floats = totals.sum(axis=1) / sizes.sum(axis=1)
        return means

    def over_axes(self, parts: Mapping[Axis, Formula], values: Floats) -> Estimate:
        """Return the mean over seeds of a quantity that depends on several axes.

        Args:
            parts: derivative of the quantity by the models' rates, by axis.
            values: the quantity in each seed, shape (seeds,).
        """
        columns = []
        for axis, formula in parts.items():
            totals, sizes = self.axes[axis].by_question(formula, None)
            answered = sizes.sum(axis=0) > 0
            means = (totals.sum(axis=1) / sizes.sum(axis=1))[:, None]
            # Each question's contribution to the seed's mean on its axis.
            own = (totals - sizes * means)[:, answered] / sizes[:, answered].mean()
            columns.append(own / answered.sum())
        effects = np.concatenate(columns, axis=1)
        value = float(values.mean())
        # The mean over all columns is the sum over axes, and every column has the seed's effect.
        effects = effects * effects.shape[1] + (values - value)[:, None]
        return _shifted(CrossedMean.of(effects, np.ones_like(effects)).estimate(), value)


def _shifted(estimate: Estimate, by: float) -> Estimate:
    return replace(
        estimate, value=estimate.value + by, low=estimate.low + by, high=estimate.high + by
    )


def _cut(estimate: Estimate, least: float, most: float) -> Estimate:
    # The value itself may lie outside by a rounding error.
    low, high = max(estimate.low, least), min(estimate.high, most)
    return replace(estimate, low=min(low, estimate.value), high=max(high, estimate.value))


@dataclass(frozen=True)
class Sweep:
    """The weights that a study tried for one merge."""

    weights: dict[str, tuple[float, ...]]
    """By candidate: the safety model's weight, or its gradient from the first layer to the
    last."""
    chosen: list[str]
    """The winning candidate of each seed."""


@dataclass(frozen=True)
class Mechanism:
    """Measures of two models' changes from the base, for one seed."""

    pair: str
    """For example ``sft`` or ``en-fr``."""
    seed: int
    values: dict[str, float]
    """By measure; see `paper.mechanisms`."""


@dataclass(frozen=True)
class Findings:
    """Everything that the page shows."""

    seeds: list[int]
    languages: list[str]
    test: Scores
    """Scores on the test items, which no choice used."""
    selection: Scores | None = None
    """Scores on the items that weights were chosen on, with a model for every candidate."""
    sweeps: dict[str, Sweep] = field(default_factory=dict)
    mechanisms: list[Mechanism] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    """Models that some seed lacks."""
    commands: list[str] = field(default_factory=list)
    hours: float | None = None
    """Core-hours of all steps."""
