"""The paired cluster bootstrap as one matrix product.

A draw takes as many clusters as there are, with replacement; it is stored as how often each
cluster was taken. A pooled rate is a ratio of sums over clusters, so all draws of all rates are
``(counts @ totals) / (counts @ sizes)``. Because every model is multiplied by the same ``counts``,
differences between models keep their pairing.
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
"""Whole numbers that stand for clusters, outcomes or languages."""

_CHUNK = 1 << 22


def draw_clusters(
    n_clusters: int, n_draws: int, rng: np.random.Generator
) -> Float64[Floats, "draws clusters"]:
    """Draw bootstrap samples of clusters: how often each is in each draw."""
    taken = rng.integers(n_clusters, size=(n_draws, n_clusters))
    taken += np.arange(n_draws)[:, None] * n_clusters
    counts = np.bincount(taken.ravel(), minlength=n_draws * n_clusters)
    return counts.reshape(n_draws, n_clusters).astype(np.float64)


def cluster_totals(
    values: Float64[Floats, "rows columns"], cluster: Int[Codes, "rows"], n_clusters: int
) -> tuple[Float64[Floats, "clusters columns"], Float64[Floats, "clusters columns"]]:
    """Sum and count values by cluster; NaN marks a missing value and counts nowhere."""
    seen = ~np.isnan(values)
    totals = np.zeros((n_clusters, values.shape[1]))
    sizes = np.zeros_like(totals)
    np.add.at(totals, cluster, np.where(seen, values, 0.0))
    np.add.at(sizes, cluster, seen)
    return totals, sizes


def bootstrap_sums(
    sums: Float64[Floats, "clusters columns"], n_draws: int, rng: np.random.Generator
) -> Float64[Floats, "draws columns"]:
    """Draw clusters and return the sum of every column in every draw.

    The same as ``draw_clusters(...) @ sums``, in pieces, so that memory does not grow with draws
    times clusters. The same state of ``rng`` gives the same draws for other columns.
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
    """Draw clusters and return the pooled mean of every column in every draw.

    NaN where a draw holds no value of a column.
    """
    drawn = bootstrap_sums(np.hstack([totals, sizes]), n_draws, rng)
    with np.errstate(invalid="ignore"):
        means: Floats = drawn[:, : totals.shape[1]] / drawn[:, totals.shape[1] :]
    return means


def expanded_level(clusters: int) -> float:
    """Return the share of draws to span so that the interval covers `LEVEL` in small samples.

    The bootstrap divides by the number of clusters instead of one less and knows no t
    distribution; for a mean, wider tails undo both (Hesterberg 2015, "What teachers should know
    about the bootstrap", section 5.2).
    """
    return float(2 * ndtr(t_quantile(clusters) * math.sqrt(clusters / (clusters - 1))) - 1)


def percentile_interval(
    draws: Float64[Floats, "draws"], level: float = LEVEL
) -> tuple[float, float]:
    """Return the central interval of bootstrap draws (Efron 1979).

    Draws may be ``inf`` (a ratio with a vanished denominator); an end is then ``inf`` when that
    many draws are. NaN draws are left out.
    """
    ordered = np.sort(draws[~np.isnan(draws)])
    tail = (1 - level) / 2
    # Order statistics, not interpolation: between a number and inf there is nothing to interpolate.
    first = int(np.floor(tail * (len(ordered) - 1)))
    return float(ordered[first]), float(ordered[len(ordered) - 1 - first])
