"""Simulated studies of known truth, for `benchmarks.coverage`.

Studies have clusters (one question in six languages, or every prompt on its own), questions that
are harder for all models, models that go together, ties, two orders, grades, and verdicts that are
missing. Every interval is made by the code that makes ``results.json``, but for the alternatives.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, expit, ndtr, ndtri
from scipy.stats import norm

from mixmerge.evaluation.measures.mean import Mean
from mixmerge.stats.bootstrap import (
    bootstrap_means,
    expanded_level,
    percentile_interval,
)
from mixmerge.stats.estimate import LEVEL, Estimate
from mixmerge.stats.intervals import ClusterMean, ClusterSample
from mixmerge.stats.length_control import length_controlled
from mixmerge.stats.pareto import front_volume, hypervolume
from mixmerge.stats.proportions import t_quantile

Floats = NDArray[np.float64]
Interval = tuple[float, float]
Truth = tuple[float, ...]
Found = tuple[str, Interval | None, float]
"""What was estimated, the interval if one was offered, and the truth."""

LANGUAGES = 6

HARMS = ((0.005, 0.05), (0.01, 0.1), (0.03, 0.1), (0.1, 0.3), (0.3, 0.5), (0.03, 0.9), (0.1, 0.1))
"""Harm rates of a model and of the base."""
WINS = ((0.3, 0.2, 0.4), (0.45, 0.2, 0.55), (0.7, 0.1, 0.7), (0.9, 0.05, 0.85))
"""Wins and ties of a model, and wins of a second one with as many ties."""
SLOPES = ((0.5, 1.0), (0.7, 2.0))
"""Win rates at equal length, and how much length counts."""
FRONTS = ((0.2, 0.3), (0.1, 0.1), (0.1, -0.1), (0.0, 0.0))
"""How far five models lie apart on both axes. Third: one is best on both; last: all are equal."""

CORRELATIONS = ((0.0,), (0.3,))
"""Of the tendencies of answers to one question, for grades."""
BETTER = 0.4
"""By how much of a standard deviation a second model's tendency to high grades is above."""

MISSING = 0.02
"""Share of verdicts that are missing."""
BATCH = 100
"""Studies simulated at a time."""
DRAWS = 1000
"""Bootstrap draws a study."""


def tendencies(
    rng: np.random.Generator, clusters: int, per_cluster: int, models: int, within: float = 0.4
) -> tuple[Floats, NDArray[np.intp]]:
    """Draw standard normal tendencies of answers.

    Returns:
        Shape (prompts, BATCH, models), and the cluster of each prompt. Correlations: ``within`` a
        cluster, 0.2 more between models on one prompt.
    """
    prompts = clusters * per_cluster
    question = np.repeat(rng.standard_normal((clusters, BATCH, 1)), per_cluster, axis=0)
    prompt = rng.standard_normal((prompts, BATCH, 1))
    own = rng.standard_normal((prompts, BATCH, models))
    latent = np.sqrt(within) * question + np.sqrt(0.2) * prompt + np.sqrt(0.8 - within) * own
    return latent, np.repeat(np.arange(clusters), per_cluster)


def judged(rng: np.random.Generator, values: Floats) -> Floats:
    """Return the values, some of them missing."""
    return np.where(rng.random(values.shape) < MISSING, np.nan, values)


def columns(values: Floats) -> Floats:
    """Return values of shape (prompts, BATCH, columns) as a table, study after study."""
    return values.reshape(len(values), -1)


def offered(estimate: Estimate | None) -> Interval | None:
    """Return the interval of an estimate, if there is one."""
    return estimate.offered if estimate else None


def harm(
    rng: np.random.Generator, clusters: int, per_cluster: int, truth: Truth
) -> Iterator[Found]:
    """Simulate harm rates of a model and of the base."""
    rate, base = truth
    latent, cluster = tendencies(rng, clusters, per_cluster, 2)
    harmful = judged(rng, (latent < norm.ppf(truth)).astype(float))
    values = np.dstack([harmful, harmful[:, :, 0] - harmful[:, :, 1]])
    sample = ClusterSample(columns(values), cluster)
    for own in range(0, 3 * BATCH, 3):
        yield "harm rate", offered(sample.rate(own)), rate
        yield "difference of harm", offered(sample.difference(own + 2)), rate - base
        change = sample.relative_change(own, own + 1)
        yield "relative change of harm", offered(change), rate / base - 1


def wins(
    rng: np.random.Generator, clusters: int, per_cluster: int, truth: Truth
) -> Iterator[Found]:
    """Simulate win rates, judged in two orders, of two models; one language has half its prompts.

    The two orders of a comparison agree as far as a correlation of 0.8 makes them.
    """
    won, tied, other = truth
    latent, cluster = tendencies(rng, clusters, per_cluster, 2)
    cuts = np.array([[won, other], [won + tied, other + tied]])
    orders = (
        np.sqrt(0.8) * latent + np.sqrt(0.2) * rng.standard_normal(latent.shape) for _ in range(2)
    )
    scores = sum(((order < norm.ppf(cut)) / 4 for order in orders for cut in cuts), np.zeros(()))
    scores = judged(rng, scores)
    language = np.arange(len(cluster)) % per_cluster
    scores[(language == 0) & (cluster % 2 == 0) & (per_cluster > 1)] = np.nan
    by_language = [np.where((language == i)[:, None], scores[:, :, 0], np.nan) for i in range(6)]
    values = np.dstack([scores[:, :, 0], scores[:, :, 0] - scores[:, :, 1], *by_language])
    sample = ClusterSample(columns(values), cluster)
    for own in range(0, 8 * BATCH, 8):
        yield "win rate", offered(sample.rate(own)), won + tied / 2
        yield "difference of win rates", offered(sample.difference(own + 1)), won - other
        if per_cluster > 1:
            average = sample.average_rate(range(own + 2, own + 2 + LANGUAGES))
            yield "average over languages", offered(average), won + tied / 2


Quantiles = Callable[[Floats], Floats]
"""From ranks in [0, 1] to scores in [0, 1]."""


def _steps(*shares: float) -> Quantiles:
    """Return the quantiles of a few grades, equally far apart, the lowest first."""
    ends, highest = np.cumsum(shares)[:-1], len(shares) - 1
    return lambda rank: np.searchsorted(ends, rank) / highest


def _beta(a: float, b: float) -> Quantiles:
    grid = np.linspace(0, 1, 4001)
    values = betaincinv(a, b, grid)
    return lambda rank: np.interp(rank, grid, values)


GRADES: dict[str, Quantiles] = {
    "grades 1 to 5": _steps(0.05, 0.1, 0.2, 0.4, 0.25),
    "grades 1 to 10, most high": _steps(0.01, 0.01, 0.02, 0.03, 0.05, 0.08, 0.15, 0.25, 0.25, 0.15),
    "grades 1 to 10, 95% the highest": _steps(*[0.05 / 9] * 9, 0.95),
    "scores, beta(2, 5)": _beta(2, 5),
    "scores, beta(0.5, 0.5)": _beta(0.5, 0.5),
    "scores, beta(0.2, 4)": _beta(0.2, 4),
    "scores, 2% are 1, the rest below 0.05": lambda rank: np.where(rank < 0.98, rank / 20, 1.0),
}
"""How grades are distributed."""


def grades(
    rng: np.random.Generator, clusters: int, per_cluster: int, truth: Truth
) -> Iterator[Found]:
    """Simulate graded answers of two models, of every distribution."""
    shift = np.array([0.0, BETTER])
    latent, cluster = tendencies(rng, clusters, per_cluster, 2, *truth)
    missing = rng.random(latent.shape) < MISSING
    ranks = ndtr(latent + shift)
    every_rank = ndtr(ndtri((np.arange(100_000) + 0.5) / 100_000)[:, None] + shift)
    measure = Mean()
    for name, quantiles in GRADES.items():
        scores = np.where(missing, np.nan, quantiles(ranks))
        first, second = quantiles(every_rank).mean(axis=0)
        difference = scores[:, :, 1] - scores[:, :, 0]
        sample = ClusterSample(columns(np.dstack([scores[:, :, 0], difference])), cluster)
        for own in range(0, 2 * BATCH, 2):
            yield f"mean, {name}", offered(measure.estimate(sample, own)), first
            found = measure.estimate_difference(sample, own + 1)
            yield f"difference, {name}", offered(found), second - first


def lengths(
    rng: np.random.Generator, clusters: int, per_cluster: int, truth: Truth
) -> Iterator[Found]:
    """Simulate a judge that likes long answers, ties included."""
    rate, slope = truth
    latent, cluster = tendencies(rng, clusters, per_cluster, 1)
    longer = 0.5 + tendencies(rng, clusters, per_cluster, 1)[0][:, :, 0]
    feature = np.tanh(longer)
    chance = expit(np.log(rate / (1 - rate)) + slope * feature)
    tied = 0.3 * chance * (1 - chance)
    place = ndtr(latent[:, :, 0])
    scores = judged(rng, ((place < chance - tied) / 2 + (place < chance + tied) / 2))
    sample = ClusterSample(scores, cluster)
    for study in range(BATCH):
        found = None
        if not sample.rate(study).absent:
            scaled = np.tanh(longer[:, study] / longer[:, study].std())
            (found,) = length_controlled(
                [scores[:, study]], [scaled], cluster, draws=DRAWS, rng=rng
            )
        yield "length-controlled win rate", offered(found.win_rate) if found else None, rate


def fronts(
    rng: np.random.Generator, clusters: int, per_cluster: int, truth: Truth
) -> Iterator[Found]:
    """Simulate five models that trade wins for safety, and the area that they dominate."""
    steps = np.linspace(-1, 1, 5)
    rates = 0.6 + truth[0] * steps, 0.25 + truth[1] / 2 * steps
    area = hypervolume(np.stack([rates[0], 1 - rates[1]], axis=1), (0.0, 0.0))
    latent, cluster = tendencies(rng, clusters, per_cluster, 5)
    won = judged(rng, (latent < norm.ppf(rates[0])).astype(float))
    latent, cluster = tendencies(rng, clusters, per_cluster, 5)
    harmful = judged(rng, (latent < norm.ppf(rates[1])).astype(float))
    general, safety = (ClusterSample(columns(v), cluster) for v in (won, harmful))
    for study in range(BATCH):
        own = slice(5 * study, 5 * study + 5)
        draws = [
            bootstrap_means(sample.totals[:, own], sample.sizes[:, own], DRAWS, rng)
            for sample in (general, safety)
        ]
        rate = [
            sample.totals[:, own].sum(axis=0) / sample.sizes[:, own].sum(axis=0)
            for sample in (general, safety)
        ]
        points = np.stack([rate[0], 1 - rate[1]], axis=1)
        drawn = np.stack([draws[0], 1 - draws[1]], axis=2)
        small = any(general.rate(5 * study + model).absent for model in range(5))
        found = front_volume(points, drawn, (0.0, 0.0), clusters)
        yield "area of the front", None if small else found.offered, float(area)


def alternatives(
    rng: np.random.Generator, clusters: int, per_cluster: int, truth: Truth
) -> Iterator[Found]:
    """Simulate harm again, with the intervals that are not used."""
    rate, base = truth
    latent, cluster = tendencies(rng, clusters, per_cluster, 2)
    harmful = judged(rng, (latent < norm.ppf(truth)).astype(float))
    values = np.dstack([harmful, harmful[:, :, 0] - harmful[:, :, 1]])
    sample = ClusterSample(columns(values), cluster)
    totals, sizes = sample.totals, sample.sizes
    draws = bootstrap_means(totals, sizes, DRAWS, rng)
    jackknife = leave_one_out(totals, sizes)
    means = totals.sum(axis=0) / sizes.sum(axis=0)
    for own in range(0, 3 * BATCH, 3):
        found = (sample.rate(own), sample.difference(own + 2), sample.relative_change(own, own + 1))
        for name, column, estimate, target in zip(
            ("harm rate", "difference of harm"), (own, own + 2), found, (rate, rate - base),
            strict=False,
        ):  # fmt: skip
            shown = estimate is not None and not estimate.absent
            yield from _others(
                name, shown, means[column], draws[:, column], jackknife[:, column], target
            )
            mean = ClusterMean.of(totals[:, column], sizes[:, column])
            yield f"{name}, t", t_interval(mean) if shown else None, target
        if means[own + 1] > 0:
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio, left_out = (a[..., own] / a[..., own + 1] for a in (draws, jackknife))
            shown = found[2] is not None and not found[2].absent
            value = means[own] / means[own + 1]
            yield from _others("ratio of harm", shown, value, ratio, left_out, rate / base)


def _others(
    name: str, shown: bool, value: float, draws: Floats, jackknife: Floats, truth: float
) -> Iterator[Found]:
    draws, level = draws[np.isfinite(draws)], expanded_level(len(jackknife))
    yield f"{name}, percentile", percentile_interval(draws, level) if shown else None, truth
    bca = bca_interval(value, draws, jackknife, level) if shown else None
    yield f"{name}, BCa", bca, truth


Study = Callable[[np.random.Generator, int, int, Truth], Iterator[Found]]
STUDIES: dict[str, tuple[Study, Sequence[Truth]]] = {
    "harm": (harm, HARMS),
    "wins": (wins, WINS),
    "grades": (grades, CORRELATIONS),
    "lengths": (lengths, SLOPES),
    "fronts": (fronts, FRONTS),
    "alternatives": (alternatives, ((0.01, 0.1), (0.03, 0.1), (0.1, 0.3))),
}


def leave_one_out(totals: Floats, sizes: Floats) -> Floats:
    """Return the pooled means without each cluster in turn: the jackknife that BCa needs.

    Args:
        totals: sums by cluster, shape (clusters,) or (clusters, columns).
        sizes: numbers of values by cluster, same shape.
    """
    without: Floats = (totals.sum(axis=0) - totals) / (sizes.sum(axis=0) - sizes)
    return without


def t_interval(mean: ClusterMean) -> tuple[float, float]:
    """Return mean ± t times its standard error, t with one degree of freedom less than clusters."""
    half = t_quantile(mean.clusters) * math.sqrt(mean.variance)
    return mean.value - half, mean.value + half


def bca_interval(
    value: float, draws: Floats, jackknife: Floats, level: float = LEVEL
) -> tuple[float, float]:
    """Return the bias-corrected and accelerated interval (Efron 1987).

    Args:
        value: the estimate from all data.
        draws: the estimate in every bootstrap draw, shape (draws,).
        jackknife: the estimate without each cluster, from `leave_one_out`, shape (clusters,).
        level: coverage.
    """
    normal = NormalDist()
    below = (np.sum(draws < value) + 0.5 * np.sum(draws == value)) / len(draws)
    if not 0 < below < 1:
        return percentile_interval(draws, level)
    bias = normal.inv_cdf(float(below))
    deviation = jackknife.mean() - jackknife
    scale = float(np.sum(deviation**2)) ** 1.5
    acceleration = float(np.sum(deviation**3)) / (6 * scale) if scale > 0 else 0.0
    tail = normal.inv_cdf((1 - level) / 2)
    ends = [bias + z for z in (tail, -tail)]
    shares = [normal.cdf(bias + end / (1 - acceleration * end)) for end in ends]
    low, high = np.quantile(draws, shares)
    return float(low), float(high)
