"""The paired cluster bootstrap as one matrix product.

A draw takes as many clusters as there are, with replacement, and is stored as a count per cluster.
A pooled rate is a ratio of sums over clusters, so all draws of all rates are ``(counts @ totals) /
(counts @ sizes)``. All models are multiplied by the same ``counts``, so their differences stay
paired.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from mixmerge.stats.estimate import LEVEL
from mixmerge.stats.proportions import t_quantile

if TYPE_CHECKING:
    from jaxtyping import Float64, Int

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
"""Integer codes of clusters, outcomes or languages."""

_CHUNK = 1 << 22


def draw_clusters(
    n_clusters: int, n_draws: int, rng: np.random.Generator
) -> Float64[Floats, "draws clusters"]:
    """Return how often each cluster is in each bootstrap draw."""
    taken = rng.integers(n_clusters, size=(n_draws, n_clusters))
    # One bincount for all draws: shift the clusters of each draw to a range of its own.
    taken += np.arange(n_draws)[:, None] * n_clusters
    counts = np.bincount(taken.ravel(), minlength=n_draws * n_clusters)
    return counts.reshape(n_draws, n_clusters).astype(np.float64)


def cluster_totals(
    values: Float64[Floats, "rows columns"], cluster: Int[Codes, "rows"], n_clusters: int
) -> tuple[Float64[Floats, "clusters columns"], Float64[Floats, "clusters columns"]]:
    """Sum and count values by cluster; NaN is a missing value."""
    seen = ~np.isnan(values)
    totals = np.zeros((n_clusters, values.shape[1]))
    sizes = np.zeros_like(totals)
    order = np.argsort(cluster, kind="stable")
    present, starts = np.unique(cluster[order], return_index=True)
    # Sums of neighbouring rows: several times faster than adding each row at its place.
    totals[present] = np.add.reduceat(np.where(seen, values, 0.0)[order], starts)
    sizes[present] = np.add.reduceat(seen[order], starts, dtype=np.float64)
    return totals, sizes


def bootstrap_sums(
    sums: Float64[Floats, "clusters columns"], n_draws: int, rng: np.random.Generator
) -> Float64[Floats, "draws columns"]:
    """Return the sum of every column in every bootstrap draw.

    The same as ``draw_clusters(...) @ sums``, but computed in chunks to bound memory. The same
    state of ``rng`` gives the same draws for other columns.
    """
    n_clusters, n_columns = sums.shape
    drawn = np.empty((n_draws, n_columns))
    step = max(1, _CHUNK // n_clusters)
    for start in range(0, n_draws, step):
        counts = draw_clusters(n_clusters, min(step, n_draws - start), rng)
        drawn[start : start + len(counts)] = counts @ sums
    return drawn


def bootstrap_means(
    totals: Float64[Floats, "clusters columns"],
    sizes: Float64[Floats, "clusters columns"],
    n_draws: int,
    rng: np.random.Generator,
) -> Float64[Floats, "draws columns"]:
    """Return the pooled mean of every column in every bootstrap draw.

    NaN where a draw has no value of a column.
    """
    drawn = bootstrap_sums(np.hstack([totals, sizes]), n_draws, rng)
    with np.errstate(invalid="ignore"):
        means: Floats = drawn[:, : totals.shape[1]] / drawn[:, totals.shape[1] :]
    return means


def expanded_level(clusters: int) -> float:
    """Return the share of draws that an interval must span to cover `LEVEL` in small samples.

    The bootstrap divides by the number of clusters instead of one less and uses normal rather than
    t quantiles; for a mean, wider tails correct both (Hesterberg 2015, "What teachers should know
    about the bootstrap", section 5.2).
    """
    return float(2 * ndtr(t_quantile(clusters) * math.sqrt(clusters / (clusters - 1))) - 1)


def percentile_interval(
    draws: Float64[Floats, "draws"], level: float = LEVEL
) -> tuple[float, float]:
    """Return the central interval of bootstrap draws (Efron 1979).

    Draws may be ``inf`` (a ratio whose denominator is zero), and then so may the ends. NaN draws
    are ignored.
    """
    ordered = np.sort(draws[~np.isnan(draws)])
    tail = (1 - level) / 2
    # Order statistics, since interpolating between a number and inf is meaningless.
    first = int(np.floor(tail * (len(ordered) - 1)))
    return float(ordered[first]), float(ordered[len(ordered) - 1 - first])
