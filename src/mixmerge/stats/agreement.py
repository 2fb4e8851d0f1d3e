"""How well two or more raters agree, and how sure that is.

Verdicts come as codes 0, 1, ... of an ordered list of outcomes; -1 is no verdict. Every coefficient
here is a function of counts that add up over clusters, so that one matrix product gives it in all
bootstrap draws at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from mixmerge.errors import SampleError
from mixmerge.stats.bootstrap import Codes, Floats, bootstrap_sums, percentile_interval
from mixmerge.stats.estimate import MIN_CLUSTERS, Estimate
from mixmerge.stats.proportions import t_quantile, wilson

if TYPE_CHECKING:
    from jaxtyping import Float64, Int

Coefficient = Callable[[Floats], Floats]

_NO_VERDICT = -1


def confusion(
    truth: Int[Codes, "items"], judged: Int[Codes, "items"], outcomes: int
) -> Float64[Floats, "items K K"]:
    """Return one table per item, with a 1 at (truth, judged) where both exist.

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

    An item with m ratings has m (m - 1) ordered pairs, each counting 1 / (m - 1); an item with
    fewer than two has none. ``outcomes`` is the number of codes, K.
    """
    counts = np.stack([(ratings == code).sum(axis=1) for code in range(outcomes)], axis=1)
    pairs = counts[:, :, None] * counts[:, None, :] - np.eye(outcomes) * counts[:, :, None]
    others = counts.sum(axis=1) - 1
    tables: Floats = np.where(others[:, None, None] > 0, pairs, 0.0)
    shared: Floats = tables / np.maximum(others, 1)[:, None, None]
    return shared


def raw_agreement(table: Float64[Floats, "*sets K K"]) -> Float64[Floats, "*sets"]:
    """Return the share of a confusion matrix that lies on its diagonal."""
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
    """Return Krippendorff's alpha from coincidences: 1 - observed / expected.

    Krippendorff (2011), "Computing Krippendorff's alpha-reliability". NaN where it is undefined:
    all ratings are the same, so that no disagreement could be expected. Of sums of `coincidences`.
    ``nominal``: all disagreements weigh the same; ``ordinal``: they weigh the square of the ratings
    that lie between them.
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
    """Return how much likelier the last outcome is said where it is true than where the first is.

    For two outcomes this is sensitivity + specificity - 1 (Youden 1950): 1 for a perfect judge, 0
    for a coin. NaN where one of the two is never true. ``table`` is a confusion matrix.
    """
    said = _ratio(table[..., -1], table.sum(-1))
    return np.asarray(said[..., -1] - said[..., 0])


def _ratio(over: Floats | np.float64, under: Floats | np.float64) -> Floats:
    result = np.full(np.broadcast_shapes(over.shape, under.shape), np.nan)
    np.divide(over, under, out=result, where=np.abs(under) > 1e-12)
    return result


def coefficient(
    tables: Float64[Floats, "items K K"],
    cluster: Int[Codes, "items"],
    statistic: Coefficient,
    *,
    draws: int,
    rng: np.random.Generator,
) -> Estimate | None:
    """Return a coefficient of all items with its cluster bootstrap interval.

    Draws in which the coefficient is undefined are left out. With fewer than `MIN_CLUSTERS`
    clusters there is no interval. The ``statistic`` is one like `cohen_kappa`, of tables from
    `confusion` or `coincidences`. None where the coefficient is undefined.
    """
    value = float(statistic(tables.sum(axis=0)))
    used = tables.sum((1, 2)) > 0
    if not used.any() or np.isnan(value):
        return None
    _, place = np.unique(cluster[used], return_inverse=True)
    clusters, outcomes = int(place.max()) + 1, tables.shape[-1]
    n = int(used.sum())
    if clusters < MIN_CLUSTERS:
        absent = f"{clusters} source prompts, {MIN_CLUSTERS} required"
        return Estimate.without_interval(value, n, clusters, absent)
    totals = np.zeros((clusters, outcomes, outcomes))
    np.add.at(totals, place, tables[used])
    drawn = bootstrap_sums(totals.reshape(clusters, -1), draws, rng)
    low, high = percentile_interval(statistic(drawn.reshape(-1, outcomes, outcomes)))
    return Estimate(value, low, high, n, clusters, "percentile")


def clustered_share(hit: Float64[Floats, "items"], cluster: Int[Codes, "items"]) -> Estimate:
    """Return a share with Wilson's interval for as many observations as the clusters are worth.

    The effective sample size is p (1 - p) / SE², with the cluster-robust standard error (Korn and
    Graubard 1998; Franco et al. 2019 recommend it in Wilson's formula). Where nothing varies, each
    cluster counts once. Hits are 1 or 0 (or a share); NaN is no observation.

    Raises:
        SampleError: there is no observation.
    """
    seen = ~np.isnan(hit)
    n = int(seen.sum())
    if n == 0:
        raise SampleError("A share needs at least 1 observation; 0 seen.")
    _, place = np.unique(cluster[seen], return_inverse=True)
    clusters = int(place.max()) + 1
    share = float(hit[seen].mean())
    total = np.bincount(place, hit[seen] - share)
    variance = float((total**2).sum()) / n**2 * clusters / max(clusters - 1, 1)
    worth = share * (1 - share) / variance if variance > 0 and clusters > 1 else clusters
    low, high = wilson(share, max(1, round(min(worth, n))))
    return Estimate(share, low, high, n, clusters, "wilson")


def clustered_slope(
    x: Float64[Floats, "items"], y: Float64[Floats, "items"], cluster: Int[Codes, "items"]
) -> Estimate | None:
    """Return the least-squares slope of y on x with its cluster-robust t interval.

    Liang and Zeger (1986), with C - 1 degrees of freedom for C clusters. An item with NaN as its
    outcome y is left out. None where ``x`` does not vary or there are fewer than `MIN_CLUSTERS`
    clusters.
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
