"""Mantel's permutation test: are two distances between the same things correlated?

Pairs are not independent, since a thing is part of many pairs, so an ordinary correlation test
rejects too often. Mantel (1967, Cancer Research 27:209) permutes the things and not the pairs,
which keeps each thing's effect on all its pairs.
"""

import math
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from scipy.stats import rankdata

from mixmerge.errors import SampleError
from mixmerge.stats.bootstrap import Floats

FEWEST = 4
"""Fewest things; three have six permutations, so no p-value is below 1/6."""
_ALL = 5040
"""Up to this many permutations, the test uses all of them."""


@dataclass(frozen=True)
class Association:
    """The correlation of two distances."""

    correlation: float
    """Spearman's, over pairs."""
    p: float
    """Two-sided: share of permutations, including the observed one, with at least this absolute
    correlation."""
    pairs: int


def mantel(
    first: Floats, second: Floats, rng: np.random.Generator, draws: int = 9999
) -> Association:
    """Test whether two distances between the same things are related.

    Args:
        first: symmetric, shape (things, things); the diagonal is not read.
        second: as ``first``.
        rng: draws permutations if there are too many to use all.
        draws: how many.

    Raises:
        SampleError: fewer than `FEWEST` things, or a distance that is the same for all pairs.
    """
    things = len(first)
    if things < FEWEST:
        raise SampleError(
            f"a permutation test of distances needs at least {FEWEST} things, got {things}"
        )
    pairs = np.triu_indices(things, 1)
    a, b = (_standard_ranks(matrix[pairs]) for matrix in (first, second))
    seen = float(a @ b)
    if math.factorial(things) <= _ALL:
        orders = np.array(list(permutations(range(things))))
        extra = 0
    else:
        orders = rng.permuted(np.tile(np.arange(things), (draws, 1)), axis=1)
        extra = 1  # the observed order is one of the permutations
    square = symmetric(b, things)
    drawn = square[orders[:, pairs[0]], orders[:, pairs[1]]] @ a
    # With ties in the ranks, equal correlations can differ in the last digits.
    as_large = int(np.sum(np.abs(drawn) >= abs(seen) - 1e-12))
    return Association(seen, (as_large + extra) / (len(orders) + extra), len(a))


def power(
    distance: Floats,
    correlation: float,
    rng: np.random.Generator,
    *,
    own: float = 0.5,
    studies: int = 400,
    draws: int = 199,
    level: float = 0.05,
) -> float:
    """Return how often `mantel` finds a true relation of this strength to a distance.

    Each simulated outcome of a pair is the distance's standard score times ``correlation``, plus
    normal noise; the share ``own`` of the noise's variance comes from the things, each of which
    shifts all its pairs, as a badly learnt language does.

    Args:
        distance: symmetric, shape (things, things).
        correlation: Pearson's, between distance and outcome.
        rng: draws the studies and their permutations.
        own: share of the noise that comes from things.
        studies: number of simulated studies.
        draws: permutations of each study.
        level: significance level.
    """
    things = len(distance)
    pairs = np.triu_indices(things, 1)
    standard = (distance[pairs] - distance[pairs].mean()) / distance[pairs].std()
    found = 0
    for _ in range(studies):
        shift = rng.normal(size=things)
        noise = math.sqrt(own / 2) * (shift[pairs[0]] + shift[pairs[1]])
        noise += math.sqrt(1 - own) * rng.normal(size=len(standard))
        outcome = correlation * standard + math.sqrt(1 - correlation**2) * noise
        found += mantel(distance, symmetric(outcome, things), rng, draws).p <= level
    return found / studies


def symmetric(values: Floats, things: int) -> Floats:
    """Return distances as a matrix, with zeros on the diagonal.

    Args:
        values: of all pairs, in the order of `itertools.combinations`.
        things: how many there are.

    Returns:
        Shape (things, things).
    """
    square = np.zeros((things, things))
    square[np.triu_indices(things, 1)] = values
    return square + square.T


def _standard_ranks(values: Floats) -> Floats:
    """Return ranks around zero with a norm of one, so that a product is a correlation."""
    ranks: Floats = rankdata(values) - (len(values) + 1) / 2
    norm = float(np.linalg.norm(ranks))
    if norm == 0:
        raise SampleError("all pairs have the same distance: nothing can be related to it")
    return ranks / norm
