"""Agreement between raters, with confidence intervals.

Verdicts are codes 0, 1, ... into an ordered list of outcomes; -1 is no verdict. Every coefficient
is a function of counts that add up over clusters, so one matrix product gives it in all bootstrap
draws at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from mixmerge.errors import SampleError
from mixmerge.stats.bootstrap import Codes, Floats
from mixmerge.stats.estimate import MIN_CLUSTERS, MIN_VALUES, Estimate, too_small
from mixmerge.stats.intervals import ClusterMean
from mixmerge.stats.proportions import clustered_wilson, t_quantile, wilson

if TYPE_CHECKING:
    from jaxtyping import Float64, Int

Coefficient = Callable[[Floats], Floats]

_NO_VERDICT = -1


def confusion(
    truth: Int[Codes, "items"], judged: Int[Codes, "items"], outcomes: int
) -> Float64[Floats, "items K K"]:
    """Return one table per item, with a 1 at (truth, judged) if both exist.

    Their sum is the confusion matrix; ``outcomes`` is the number of codes, K.
    """
    tables = np.zeros((len(truth), outcomes, outcomes))
    both = np.flatnonzero((truth != _NO_VERDICT) & (judged != _NO_VERDICT))
    tables[both, truth[both], judged[both]] = 1
    return tables


def coincidences(
    ratings: Int[Codes, "items raters"], outcomes: int
) -> Float64[Floats, "items K K"]:
    """Return the coincidence table of each item: its ordered pairs of ratings (Krippendorff).

    An item with m ratings has m (m - 1) ordered pairs, each counting 1 / (m - 1); one with fewer
    than two has none. ``outcomes`` is the number of codes, K.
    """
    counts = np.stack([(ratings == code).sum(axis=1) for code in range(outcomes)], axis=1)
    pairs = counts[:, :, None] * counts[:, None, :] - np.eye(outcomes) * counts[:, :, None]
    others = counts.sum(axis=1) - 1
    tables: Floats = np.where(others[:, None, None] > 0, pairs, 0.0)
    shared: Floats = tables / np.maximum(others, 1)[:, None, None]
    return shared


def raw_agreement(table: Float64[Floats, "*sets K K"]) -> Float64[Floats, "*sets"]:
    """Return the share of a confusion matrix on its diagonal."""
    return _ratio(np.trace(table, axis1=-2, axis2=-1), table.sum((-2, -1)))


def cohen_kappa(table: Float64[Floats, "*sets K K"]) -> Float64[Floats, "*sets"]:
    """Return Cohen's kappa (1960) of a confusion matrix.

    NaN where it is undefined: both raters gave one and the same outcome throughout.

    Example:
        >>> cohen_kappa(np.array([[40.0, 10.0], [5.0, 45.0]])).round(2).item()
        0.7
    """
    total = table.sum((-2, -1))
    expected = _ratio((table.sum(-1) * table.sum(-2)).sum(-1), total**2)
    return _ratio(raw_agreement(table) - expected, 1 - expected)


def krippendorff_alpha(
    table: Float64[Floats, "*sets K K"], level: Literal["nominal", "ordinal"] = "nominal"
) -> Float64[Floats, "*sets"]:
    """Return Krippendorff's alpha from sums of `coincidences`: 1 - observed / expected.

    Krippendorff (2011), "Computing Krippendorff's alpha-reliability". NaN where it is undefined:
    all ratings are equal, so no disagreement is expected. ``nominal``: all disagreements weigh the
    same; ``ordinal``: they weigh the squared number of ratings between them.
    """
    margins = table.sum(-1)
    places = np.cumsum(margins, axis=-1) - margins / 2
    if level == "nominal":
        distance = np.broadcast_to(1 - np.eye(table.shape[-1]), table.shape)
    else:
        distance = (places[..., :, None] - places[..., None, :]) ** 2
    total = margins.sum(-1)
    observed = (table * distance).sum((-2, -1)) / np.maximum(total, 1)
    by_chance = margins[..., :, None] * margins[..., None, :] * distance
    expected = _ratio(by_chance.sum((-2, -1)), total * (total - 1))
    return np.asarray(1 - _ratio(observed, expected))


def youden(table: Float64[Floats, "*sets K K"]) -> Float64[Floats, "*sets"]:
    """Return the rate of the last outcome where it is true, minus where the first is.

    For two outcomes this is sensitivity + specificity - 1 (Youden 1950): 1 for a perfect judge, 0
    for a coin. NaN if one of the two is never true. ``table`` is a confusion matrix.
    """
    said = _ratio(table[..., -1], table.sum(-1))
    return np.asarray(said[..., -1] - said[..., 0])


def _ratio(over: Floats | np.float64, under: Floats | np.float64) -> Floats:
    result = np.full(np.broadcast_shapes(over.shape, under.shape), np.nan)
    np.divide(over, under, out=result, where=np.abs(under) > 1e-12)
    return result


LEAST_DISAGREEING = 3
"""Fewest clusters with a disagreement for an interval: fewer do not show how much it varies."""


def coefficient(
    tables: Float64[Floats, "items K K"], cluster: Int[Codes, "items"], statistic: Coefficient
) -> Estimate | None:
    """Return a coefficient with its jackknife interval over clusters; None if it is undefined.

    Fisher's transformation makes the coefficient's distribution nearly symmetric; its standard
    error comes from leaving out each cluster in turn, with a t quantile (Efron and Tibshirani 1993,
    chapter 11). The usual percentile bootstrap covers 79 to 93 % where this covers 94 to 97 %:
    ``benchmarks/small_samples.py``. The tables are from `confusion` or `coincidences`, the
    statistic is at most 1, for example `cohen_kappa`.
    """
    whole = tables.sum(axis=0)
    value = float(statistic(whole))
    used = tables.sum((1, 2)) > 0
    if not used.any() or np.isnan(value):
        return None
    _, place = np.unique(cluster[used], return_inverse=True)
    clusters, n = int(place.max()) + 1, int(used.sum())
    totals = np.zeros((clusters, *whole.shape))
    np.add.at(totals, place, tables[used])
    sizes = totals.sum((1, 2))
    disagreeing = int(np.sum(sizes - np.trace(totals, axis1=1, axis2=2) > 1e-9))
    effective = float(sizes.sum() ** 2 / (sizes @ sizes))
    absent = too_small(
        max(n, MIN_VALUES), clusters, effective, disagreeing, LEAST_DISAGREEING, "between raters"
    )
    others = statistic(whole - totals)
    if not absent and (np.isnan(others).any() or np.abs([value, *others]).max() >= 1):
        absent = "without one of the source prompts the coefficient would be undefined"
    if absent:
        return Estimate.without_interval(value, n, clusters, absent)
    moved = np.arctanh(others)
    error = math.sqrt((clusters - 1) / clusters * float(((moved - moved.mean()) ** 2).sum()))
    half = t_quantile(effective) * error
    low, high = (math.tanh(math.atanh(value) + side * half) for side in (-1, 1))
    return Estimate(value, low, high, n, clusters, "jackknife t")


def clustered_share(
    hit: Float64[Floats, "items"],
    cluster: Int[Codes, "items"],
    weight: Float64[Floats, "items"] | None = None,
) -> Estimate:
    """Return a share with its clustered Wilson interval; ``hit`` is 1 or 0 (or a share), or NaN.

    ``weight`` is how many items each one stands for, relative to the others; by default one.

    If fewer than three clusters differ from the others, or clusters are very unequal in size, the
    variance between clusters cannot be estimated, and each counts as one observation: a wide
    interval rather than a wrong one.

    Raises:
        SampleError: there is no observation.
    """
    seen = ~np.isnan(hit)
    if not seen.any():
        raise SampleError("A share needs at least 1 observation; 0 seen.")
    _, place = np.unique(cluster[seen], return_inverse=True)
    each = np.ones(int(seen.sum())) if weight is None else weight[seen] / weight[seen].mean()
    totals, sizes = (np.bincount(place, of).astype(np.float64) for of in (each * hit[seen], each))
    mean = ClusterMean.of(totals, sizes)
    _, alike = np.unique((totals / sizes).round(9), return_counts=True)
    if mean.clusters - alike.max() >= LEAST_DISAGREEING and mean.effective >= MIN_CLUSTERS - 0.5:
        interval = clustered_wilson(mean.value, mean.variance, mean.effective)
    else:
        interval = wilson(mean.value, max(1, round(mean.effective)))
    return Estimate(mean.value, *interval, int(seen.sum()), mean.clusters, "clustered wilson")


def clustered_slope(
    x: Float64[Floats, "items"], y: Float64[Floats, "items"], cluster: Int[Codes, "items"]
) -> Estimate | None:
    """Return the least-squares slope of y on x with its cluster-robust t interval.

    Liang and Zeger (1986), with C - 1 degrees of freedom for C clusters. Items whose y is NaN are
    ignored. None if ``x`` does not vary or there are fewer than `MIN_CLUSTERS` clusters.
    """
    seen = ~np.isnan(y)
    if not seen.any():
        return None
    x, y = x[seen] - x[seen].mean(), y[seen] - y[seen].mean()
    _, place = np.unique(cluster[seen], return_inverse=True)
    clusters, spread = int(place.max()) + 1, float(x @ x)
    if spread < 1e-12 or clusters < MIN_CLUSTERS:
        return None
    slope = float(x @ y) / spread
    scores = np.bincount(place, x * (y - slope * x))
    error = math.sqrt(clusters / (clusters - 1) * float(scores @ scores)) / spread
    half = t_quantile(clusters) * error
    return Estimate(slope, slope - half, slope + half, len(y), clusters, "t")
