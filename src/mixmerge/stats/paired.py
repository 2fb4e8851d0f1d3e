"""Tests of the difference between two models on the same prompts, and multiple comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mixmerge.stats.bootstrap import Floats

if TYPE_CHECKING:
    from jaxtyping import Float64

EXACT_UP_TO = 16
"""Most differing clusters for which all sign patterns (65,536) are counted."""

_CHUNK_ROWS = 512


def sign_flip_p(
    totals: Float64[Floats, "clusters"], rng: np.random.Generator, draws: int = 10_000
) -> float:
    """Return the two-sided p-value of a mean difference by flipping the signs of clusters.

    If the two models are exchangeable on every cluster, each cluster's total difference is as
    likely to have the other sign. Up to `EXACT_UP_TO` clusters with a difference all patterns are
    counted; above, random ones and the observed one: (hits + 1) / (draws + 1), which is a valid
    p-value (Phipson and Smyth 2010). ``totals`` are the sums of paired differences by cluster.
    """
    moving = totals[totals != 0]
    if len(moving) == 0:
        return 1.0
    # Tolerance: the same sum in another order may differ in the last bits.
    limit = abs(float(moving.sum())) - 1e-9 * float(np.abs(moving).sum())
    if len(moving) <= EXACT_UP_TO:
        patterns = np.arange(2 ** len(moving))[:, None] >> np.arange(len(moving)) & 1
        sums = (2.0 * patterns - 1) @ moving
        return float(np.mean(np.abs(sums) >= limit))
    hits = 0
    for start in range(0, draws, _CHUNK_ROWS):
        rows = min(_CHUNK_ROWS, draws - start)
        kept = _random_signs(rows, len(moving), rng)
        # Sum with flipped signs = 2 * (sum of the kept ones) - total.
        hits += int(np.sum(np.abs(2 * (kept @ moving) - moving.sum()) >= limit))
    return (hits + 1) / (draws + 1)


def sign_flip_ps(
    totals: Float64[Floats, "clusters columns"], rng: np.random.Generator, draws: int = 10_000
) -> Float64[Floats, "columns"]:
    """Return the p-value of `sign_flip_p` for many columns, with the same signs for all of them.

    Where all differences of a column have one size, as those of yes-or-no answers have, the number
    of positive signs is binomial, and the p-value exact for any number of clusters.
    """
    found = np.ones(totals.shape[1])
    drawn = []
    for column, own in enumerate(totals.T):
        moving = own[own != 0]
        if len(moving) <= EXACT_UP_TO:
            found[column] = sign_flip_p(moving, rng)
        elif np.ptp(np.abs(moving)) <= 1e-12:
            found[column] = mcnemar_p(int(np.sum(moving > 0)), int(np.sum(moving < 0)))
        else:
            drawn.append(column)
    kept = totals[:, drawn]
    limits = np.abs(kept.sum(axis=0)) - 1e-9 * np.abs(kept).sum(axis=0)
    hits = np.zeros(len(drawn))
    for start in range(0, draws if drawn else 0, _CHUNK_ROWS):
        signs = _random_signs(min(_CHUNK_ROWS, draws - start), len(kept), rng)
        hits += np.sum(np.abs(2 * (signs @ kept) - kept.sum(axis=0)) >= limits, axis=0)
    found[drawn] = (hits + 1) / (draws + 1)
    return found


def _random_signs(
    rows: int, clusters: int, rng: np.random.Generator
) -> Float64[Floats, "rows clusters"]:
    """Return 1 where a cluster's difference keeps its sign, else 0."""
    drawn = rng.integers(256, size=(rows, -(-clusters // 8)), dtype=np.uint8)
    return np.unpackbits(drawn, axis=1, count=clusters).astype(np.float64)


def mcnemar_p(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p-value of McNemar's test (the binomial form).

    The arguments count the prompts on which only one model has the property.

    Example:
        >>> mcnemar_p(1, 6)
        0.125
    """
    discordant = only_a + only_b
    term = tail = 1
    for k in range(min(only_a, only_b)):
        term = term * (discordant - k) // (k + 1)  # the binomial coefficient of k + 1
        tail += term
    # Integer division is correctly rounded, however large the numbers.
    return min(1.0, 2 * tail / (1 << discordant))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the chance of any false finding is controlled (Holm 1979).

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    count = len(p_values)
    adjusted = [0.0] * count
    highest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        # Running maximum: an adjusted p-value is never below that of a smaller p-value.
        highest = max(highest, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that the expected share of false findings is controlled (1995).

    Example:
        >>> benjamini_hochberg([0.01, 0.04, 0.03])
        [0.03, 0.04, 0.04]
    """
    count = len(p_values)
    adjusted = [0.0] * count
    lowest = 1.0
    for rank, index in reversed(list(enumerate(np.argsort(p_values, kind="stable"), 1))):
        lowest = min(lowest, count / rank * p_values[index])
        adjusted[index] = lowest
    return adjusted
