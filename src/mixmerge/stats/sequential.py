"""Looks at data before all of it is there: group-sequential tests.

Whoever tests after every 200 items and stops at the first p-value below 0.05 is wrong far more
often than in 5 % of cases. A group-sequential test spends its 5 % over the looks instead: here as
O'Brien and Fleming (1979) would, by the function of Lan and DeMets (1983), little at first, so that
the last look costs almost no power. The function needs only how much of the planned data each look
has, so looks need be neither equal in size nor fixed in number.

The boundary is that of a Brownian motion, exact up to numerical integration (Armitage, McPherson
and Rowe 1969); p-values of any test take the place of its tails.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from mixmerge.stats.bootstrap import Floats

if TYPE_CHECKING:
    from jaxtyping import Float64

_NORMAL = NormalDist()
_NODES = 96
"""Nodes of an integral, or a multiple of it where looks are close to each other."""
_LEAST = 1e-14
"""A look that may spend less than this never rejects."""
_LEVELS = 10.0 ** np.linspace(-9, 0, 91)
"""Levels at which boundaries are computed; between them they are interpolated."""


def spent(alpha: float, fraction: float) -> float:
    """Return how much of a two-sided level is spent when a fraction of the data is there.

    Each side spends half of it, ``2 - 2 Φ(z / √fraction)`` with z the quantile of a quarter of the
    level (Lan and DeMets 1983), for a level in (0, 1] and a fraction in (0, 1].

    Example:
        >>> round(spent(0.05, 0.5), 4), round(spent(0.05, 1.0), 4)
        (0.0031, 0.05)
    """
    quantile = _NORMAL.inv_cdf(1 - alpha / 4)
    return 4 * float(ndtr(-quantile / math.sqrt(fraction)))


def nominal_levels(alpha: float, fractions: Sequence[float]) -> tuple[float, ...]:
    """Return the two-sided p-value below which each look rejects.

    Together the looks reject with probability ``alpha`` if nothing is there (once the last fraction
    is 1).

    Args:
        alpha: the level of the whole test, in (0, 1].
        fractions: of the planned data at each look, rising, in (0, 1].

    Example:
        Five equal looks, as in the tables of group-sequential designs:

        >>> [round(NormalDist().inv_cdf(1 - p / 2), 2)
        ...  for p in nominal_levels(0.05, (0.2, 0.4, 0.6, 0.8, 1.0))]
        [4.88, 3.36, 2.68, 2.29, 2.03]
    """
    levels, before, last = [], 0.0, 0.0
    nodes, density = np.zeros(1), np.ones(1)  # the process starts at 0
    for fraction in fractions:
        now, step = spent(alpha, fraction), math.sqrt(fraction - last)
        wanted = (now - before) / 2
        limit = _limit(nodes, density, step, wanted)
        levels.append(2 * float(ndtr(-limit / math.sqrt(fraction))))
        if not math.isfinite(limit):
            limit = 9 * math.sqrt(fraction)  # nothing is beyond, to the precision of numbers
        else:
            before = now
        places, weights = (limit * each for each in _gauss(math.ceil(8 * limit / step / _NODES)))
        distance = (places[:, None] - nodes) / step
        moved = np.exp(-(distance**2) / 2) / (step * math.sqrt(2 * math.pi)) @ density
        nodes, density, last = places, moved * weights, fraction
    return tuple(levels)


def _limit(
    nodes: Float64[Floats, "nodes"], density: Float64[Floats, "nodes"], step: float, wanted: float
) -> float:
    """Return the value that the process exceeds with the wanted probability at this look."""
    if wanted < _LEAST:
        return math.inf

    def missed(limit: float) -> float:
        return float(ndtr((nodes - limit) / step) @ density) - wanted

    if missed(0.0) <= 0:  # a level of nearly 1 rejects whatever is seen
        return 0.0
    return float(brentq(missed, 0.0, float(nodes.max()) + 9 * step, xtol=1e-10))


def sequential_p(p_values: Sequence[float], fractions: Sequence[float]) -> float:
    """Return the p-value of looks that were taken one after the other.

    The lowest level at which one of them would have rejected. It is valid whatever the look is at
    which one stops, so several of them can be adjusted like any others (Holm; for group-sequential
    tests Maurer and Bretz 2013).

    Args:
        p_values: two-sided, of each look; 1 where a look's is not known.
        fractions: of the planned data at each look, rising, in (0, 1].

    Example:
        A p-value of 0.01 at half of the data is weaker than one of a single look:

        >>> round(sequential_p([0.01], [0.5]), 3)
        0.094
        >>> round(sequential_p([0.01], [1.0]), 3)
        0.01
    """
    levels = np.log(_LEVELS)
    lowest = 1.0
    for place, p in enumerate(p_values):
        boundary = _boundaries(tuple(fractions[: place + 1]))[:, place]
        open_ = boundary > 0
        if p >= 1 or not open_.any():
            continue
        found = np.interp(math.log(max(p, 1e-300)), np.log(boundary[open_]), levels[open_])
        lowest = min(lowest, float(math.exp(found)))
    return max(lowest, min(p_values))


@lru_cache(maxsize=16)
def _gauss(times: int) -> tuple[Floats, Floats]:
    places, weights = np.polynomial.legendre.leggauss(_NODES * max(1, times))
    return places, weights


@lru_cache(maxsize=256)
def _boundaries(fractions: tuple[float, ...]) -> Float64[Floats, "levels looks"]:
    return np.array([nominal_levels(float(level), fractions) for level in _LEVELS])


def widening(alpha: float, fractions: Sequence[float]) -> float:
    """Return by how much an interval at the last of these looks is wider than at a single look.

    The repeated interval of Jennison and Turnbull (1989): it covers at all looks together. Infinite
    where a look is too early to reject anything.

    Example:
        >>> round(widening(0.05, [0.5]), 2), round(widening(0.05, [1.0]), 2)
        (1.51, 1.0)
    """
    level = nominal_levels(alpha, fractions)[-1]
    if level <= 0:
        return math.inf
    return _NORMAL.inv_cdf(1 - level / 2) / _NORMAL.inv_cdf(1 - alpha / 2)
