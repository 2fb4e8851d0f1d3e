"""The win rate that a model would have if its answers were as long as the base model's.

Judges like long answers. The length-controlled win rate (Dubois et al. 2024, "Length-Controlled
AlpacaEval") models each verdict by a logistic curve of the difference in length and evaluates it at
zero difference. Theirs has a difficulty for each of its own 805 prompts; without it the curve has
two parameters and works for any prompts:

    P(model wins) = sigmoid(quality + slope * tanh(difference in length / its spread))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from mixmerge.stats.bootstrap import (
    Codes,
    Floats,
    bootstrap_sums,
    expanded_level,
    percentile_interval,
)
from mixmerge.stats.estimate import Estimate

if TYPE_CHECKING:
    from jaxtyping import Float64, Int, Shaped
    from numpy.typing import NDArray

_RIDGE = 1.0
"""Weight of the penalty slope² / 2: about one answer's log-likelihood. Keeps the slope finite if
length alone decides."""


@dataclass(frozen=True)
class LengthControl:
    """A length-controlled win rate and the slope of its curve."""

    win_rate: Estimate
    slope: float
    """Change of the log-odds of winning when the model's answer is much longer."""


def length_feature(
    own: Float64[Floats, "prompts"],
    base: Float64[Floats, "prompts"],
    language: Shaped[NDArray[np.str_], "prompts"],
) -> Float64[Floats, "prompts"]:
    """Return how much longer a model's answers are than the base model's, in (-1, 1).

    Differences are divided by their standard deviation per language, because the same sentence has
    16 characters in Chinese and 47 in Hindi, and squeezed by tanh.
    """
    difference = np.asarray(own - base, dtype=np.float64)
    feature = np.zeros_like(difference)
    for name in np.unique(language):
        rows = language == name
        spread = difference[rows].std()
        if spread > 0:
            feature[rows] = np.tanh(difference[rows] / spread)
    return feature


def length_controlled(
    scores: Sequence[Float64[Floats, "prompts"]],
    features: Sequence[Float64[Floats, "prompts"]],
    cluster: Int[Codes, "prompts"],
    *,
    draws: int,
    rng: np.random.Generator,
) -> list[LengthControl]:
    """Fit each model's curve and bootstrap the fits by cluster, with the same draws for all.

    Each draw refits the curve by one Newton step from the fit to all data, with the draw's own
    gradient and curvature: all draws together are one matrix product, and the step is exact up to
    terms of order 1 / clusters. Near 0 and 1 with few prompts those terms are large: both ends are
    nearer to one half than those of full refits, by 0.01 to 0.04 at 95 wins of 100. The scores of a
    model are 1 for a win, 1/2 for a tie and 0 for a loss, or means of two orders; NaN if missing.
    The features are from `length_feature`.
    """
    fits, sums = [], []
    for own, feature in zip(scores, features, strict=True):
        seen = ~np.isnan(own)
        curve = fit(own[seen], feature[seen])
        # Clusters without a verdict stay as zeros, so that all models have the same draws.
        by_cluster = np.zeros((int(cluster.max()) + 1, 5))
        np.add.at(by_cluster, cluster[seen], _derivatives(own[seen], feature[seen], *curve))
        fits.append((curve, int(seen.sum()), len(np.unique(cluster[seen]))))
        sums.append(by_cluster)
    if not fits:
        return []
    drawn = np.split(bootstrap_sums(np.hstack(sums), draws, rng), len(fits), axis=1)
    return [_controlled(*one, own) for one, own in zip(fits, drawn, strict=True)]


def _controlled(
    curve: tuple[float, float], n: int, clusters: int, drawn: Float64[Floats, "draws 5"]
) -> LengthControl:
    quality, slope = curve
    rates = expit(quality + _newton_step(drawn, slope)[:, 0])
    low, high = percentile_interval(rates, expanded_level(clusters))
    rate = float(expit(quality))
    return LengthControl(Estimate(rate, low, high, n, clusters, "percentile"), slope)


def fit(
    scores: Float64[Floats, "prompts"], feature: Float64[Floats, "prompts"]
) -> tuple[float, float]:
    """Return quality and slope of the curve, by penalised maximum likelihood.

    The scores are neither all 0 nor all 1.
    """

    def loss(beta: Floats) -> tuple[float, Floats]:
        eta = beta[0] + beta[1] * feature
        error = expit(eta) - scores
        value = float(np.sum(np.logaddexp(0, eta) - scores * eta)) + _RIDGE * beta[1] ** 2 / 2
        return value, np.array([error.sum(), error @ feature + _RIDGE * beta[1]])

    def curvature(beta: Floats) -> Floats:
        weight = expit(beta[0] + beta[1] * feature)
        weight = weight * (1 - weight)
        cross = weight @ feature
        return np.array([[weight.sum(), cross], [cross, weight @ feature**2 + _RIDGE]])

    found = minimize(loss, np.zeros(2), jac=True, hess=curvature, method="trust-exact",
                     options={"gtol": 1e-8 * len(scores)})  # fmt: skip
    quality, slope = found.x
    return float(quality), float(slope)


def _derivatives(
    scores: Float64[Floats, "prompts"],
    feature: Float64[Floats, "prompts"],
    quality: float,
    slope: float,
) -> Float64[Floats, "prompts 5"]:
    """Return each prompt's part of the gradient (2 columns) and curvature (3)."""
    chance = expit(quality + slope * feature)
    error, weight = scores - chance, chance * (1 - chance)
    parts: Floats = np.stack(
        [error, error * feature, weight, weight * feature, weight * feature**2], axis=1
    )
    return parts


def _newton_step(sums: Float64[Floats, "draws 5"], slope: float) -> Float64[Floats, "draws 2"]:
    gradient_0, gradient_1, h_00, h_01, h_11 = sums.T
    gradient_1, h_11 = gradient_1 - _RIDGE * slope, h_11 + _RIDGE
    determinant = h_00 * h_11 - h_01**2
    step: Floats = (
        np.stack(
            [h_11 * gradient_0 - h_01 * gradient_1, h_00 * gradient_1 - h_01 * gradient_0], axis=1
        )
        / determinant[:, None]
    )
    return step
