"""Rates corrected for a judge's errors, using true labels of a random part of the answers.

Rows are prompts with an answer. Standard errors are cluster-robust: the influence of each row is
first summed by cluster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy.special import expit, logit

from mixmerge.errors import SampleError
from mixmerge.stats.bootstrap import Codes, Floats
from mixmerge.stats.estimate import MIN_CLUSTERS, Estimate
from mixmerge.stats.proportions import t_quantile

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int
    from numpy.typing import NDArray

FEWEST_INFORMATIVE = 15
"""Fewest labelled clusters that differ from the most common one, for an interval: with fewer, the
simulated coverage of `prediction_powered` falls below 93 %. `rogan_gladen` needs as many labelled
clusters: with fewer, its coverage is above 97 % (``benchmarks/correction.py``)."""


@dataclass(frozen=True)
class Labelled:
    """Answers with a true label."""

    judged: Float64[Floats, "rows"]
    """1 or 0, NaN without a verdict."""
    truth: Float64[Floats, "rows"]
    """1 or 0."""
    cluster: Int[Codes, "rows"]
    """The source prompt."""
    weight: Float64[Floats, "rows"] | None = None
    """How many answers each one stands for, relative to the others; None if all the same."""


def prediction_powered(
    judged: Float64[Floats, "rows"],
    truth: Float64[Floats, "rows"],
    cluster: Int[Codes, "rows"],
    stratum: Int[Codes, "rows"],
    language: Int[Codes, "rows"] | None = None,
    *,
    scale: Literal["rate", "difference"] = "rate",
) -> Estimate:
    """Return the mean of the truth by PPI++ (Angelopoulos, Duchi and Zrnic 2023), clustered.

    ``mean(truth) + lambda (mean of judged, elsewhere - mean of judged, where labelled)``, by
    stratum, with strata weighted by their rows. It is unbiased for any judge if the labelled rows
    are a random part; lambda in [0, 1] minimises the variance, so a useless judge costs nothing. A
    row without a verdict gets its stratum's mean. NaN is no verdict, or no label. Scale ``rate``:
    values in [0, 1], and an interval symmetric in the log odds, which rare events need;
    ``difference``: values in [-1, 1].

    The interval is for more prompts like these, as a judge's own is, so there is no correction for
    a finite population. Strata, integers from 0, are languages, whose shares would not change. If
    prompts were drawn by verdict, shares are random: with ``language``, the variance between the
    strata of a language counts, too (double sampling; Cochran 1977, section 12.2).

    Returns:
        An estimate without interval if fewer than `FEWEST_INFORMATIVE` clusters are informative, or
        if a stratum has one labelled cluster, which does not show its variance.

    Raises:
        SampleError: a stratum has no labelled row, or there are fewer than ten labelled clusters.
    """
    labelled = ~np.isnan(truth)
    _require(labelled, cluster, stratum)
    said = _filled(judged, stratum)
    correction = 0.0
    own, other, means = np.zeros(len(truth)), np.zeros(len(truth)), np.zeros(len(truth))
    small = np.ones(len(truth))
    for code in range(int(stratum.max()) + 1):
        inside = stratum == code
        weight = inside.sum() / len(truth)
        known, rest = inside & labelled, inside & ~labelled
        means[inside] = truth[known].mean()
        own[known] = weight * _centred(truth[known])
        small[inside] = _of_few(len(np.unique(cluster[known])))
        if rest.sum() > 1:  # one verdict alone does not show how much it varies
            correction += weight * (said[rest].mean() - said[known].mean())
            other[known] = weight * _centred(said[known])
            # About the mean of all: two equal verdicts elsewhere do not show that none varies.
            other[rest] = -weight * (said[rest] - said[inside].mean()) / rest.sum()
    value = float(means.mean())
    between = means - _by(stratum if language is None else language, means)
    _, place = np.unique(cluster, return_inverse=True)
    first, second = np.bincount(place, own), np.bincount(place, other)
    spread = float(second @ second)
    # The lambda of least variance is a regression coefficient, here of sums over clusters.
    power = min(1.0, max(0.0, float(first @ second) / spread)) if spread > 0 else 0.0
    clusters = len(np.unique(cluster[labelled]))
    mean = float(value + power * correction)
    n, absent = int(labelled.sum()), ""
    if informative_clusters(truth, cluster) < FEWEST_INFORMATIVE:
        absent = f"fewer than {FEWEST_INFORMATIVE} labelled source prompts differ from the rest"
    elif not np.isfinite(small).all():
        absent = "a language or stratum has labels on only one source prompt"
    if absent:
        return Estimate.without_interval(mean, n, clusters, absent)
    each = small * (own - power * other) + between / len(truth)
    influence = np.bincount(place, each)
    low, high = _ends(mean, _half_width(influence, clusters), scale)
    return Estimate(mean, low, high, n, clusters, "ppi++")


def informative_clusters(truth: Float64[Floats, "rows"], cluster: Int[Codes, "rows"]) -> int:
    """Return how many labelled clusters differ from the most common mean."""
    labelled = ~np.isnan(truth)
    _, place = np.unique(cluster[labelled], return_inverse=True)
    means = np.bincount(place, truth[labelled]) / np.bincount(place)
    _, how_often = np.unique(means.round(9), return_counts=True)
    return int(how_often.sum() - how_often.max(initial=0))


def rogan_gladen(
    judged: Float64[Floats, "rows"], cluster: Int[Codes, "rows"], known: Labelled
) -> Estimate | None:
    """Return a rate corrected by the judge's sensitivity and specificity (Rogan and Gladen 1978).

    ``(p + specificity - 1) / (sensitivity + specificity - 1)``, with the delta method for all
    three. Unlike `prediction_powered` it assumes that the judge errs on these answers as on the
    labelled ones, which may be other models'. Verdicts are 1 or 0, NaN for none; source prompts
    have the same numbers in both sets of answers.

    Returns:
        None if it is undefined: nothing was judged, one class has no label, or the judge is no
        better than a coin. Without interval if there are fewer than `FEWEST_INFORMATIVE` labelled
        clusters, or if no rate from 0 to 1 fits: the judge's errors differ between models.

    Raises:
        SampleError: there are fewer than ten labelled clusters.
    """
    has_verdict = ~np.isnan(known.judged)
    said, truth = known.judged[has_verdict], known.truth[has_verdict]
    of = known.cluster[has_verdict]
    weight = np.ones(len(truth)) if known.weight is None else known.weight[has_verdict]
    _require(np.ones(len(truth), dtype=np.bool_), of, np.zeros(len(truth), dtype=np.intp))
    seen = ~np.isnan(judged)
    yes, no = truth == 1, truth == 0
    if not (seen.any() and yes.any() and no.any()):
        return None
    sensitivity = float(np.average(said[yes], weights=weight[yes]))
    specificity = float(1 - np.average(said[no], weights=weight[no]))
    youden = sensitivity + specificity - 1
    if youden <= 0:
        return None
    value = float((judged[seen].mean() + specificity - 1) / youden)
    # Delta method: the derivative of the corrected rate with respect to each of the three rates.
    influence = np.concatenate(
        [
            _centred(judged[seen]),
            -(1 - value) * _centred(said[no], weight[no]),
            -value * _centred(said[yes], weight[yes]),
        ]
    )
    _, place = np.unique(np.concatenate([cluster[seen], of[no], of[yes]]), return_inverse=True)
    clusters = len(np.unique(of))
    rate = min(1.0, max(0.0, value))
    if clusters < FEWEST_INFORMATIVE:
        absent = f"{clusters} labelled source prompts, {FEWEST_INFORMATIVE} required"
        return Estimate.without_interval(rate, len(truth), clusters, absent)
    spread = _of_few(clusters) * np.bincount(place, influence) / youden
    half = _half_width(spread, clusters)
    if not (-half < value < 1 + half):
        absent = "no rate from 0 to 1 fits the judge's errors on the labelled answers"
        return Estimate.without_interval(rate, len(truth), clusters, absent)
    low, high = max(0.0, value - half), min(1.0, value + half)
    return Estimate(rate, min(low, rate), max(high, rate), len(truth), clusters, "rogan-gladen")


def _require(
    labelled: Bool[NDArray[np.bool_], "rows"],
    cluster: Int[Codes, "rows"],
    stratum: Int[Codes, "rows"],
) -> None:
    clusters = len(np.unique(cluster[labelled]))
    if clusters < MIN_CLUSTERS:
        raise SampleError(
            f"A correction needs labels on at least {MIN_CLUSTERS} source prompts; {clusters} seen."
        )
    bare = set(stratum.tolist()) - set(stratum[labelled].tolist())
    if bare:
        raise SampleError(
            f"A correction needs labels in every language and stratum; {len(bare)} of "
            f"{int(stratum.max()) + 1} have none."
        )


def _filled(
    judged: Float64[Floats, "rows"], stratum: Int[Codes, "rows"]
) -> Float64[Floats, "rows"]:
    filled = judged.copy()
    for code in range(int(stratum.max()) + 1):
        inside = stratum == code
        seen = inside & ~np.isnan(judged)
        filled[inside & np.isnan(judged)] = judged[seen].mean() if seen.any() else 0.5
    return filled


def _by(group: Int[Codes, "rows"], values: Float64[Floats, "rows"]) -> Float64[Floats, "rows"]:
    """Return the mean of each row's group."""
    sums: Floats = np.bincount(group, values) / np.maximum(1, np.bincount(group))
    return sums[group]


def _centred(
    values: Float64[Floats, "rows"], weight: Float64[Floats, "rows"] | None = None
) -> Float64[Floats, "rows"]:
    """Return each row's contribution to the error of the mean."""
    each = np.ones(len(values)) if weight is None else weight
    centred: Floats = each * (values - np.average(values, weights=each)) / each.sum()
    return centred


def _of_few(clusters: int) -> float:
    """Return the small-sample factor sqrt(C / (C - 1)) for C clusters; infinite for one."""
    return math.sqrt(clusters / (clusters - 1)) if clusters > 1 else math.inf


def _half_width(by_cluster: NDArray[Any], clusters: int) -> float:
    return t_quantile(clusters) * math.sqrt(float(by_cluster @ by_cluster))


def _ends(mean: float, half: float, scale: str) -> tuple[float, float]:
    if scale == "difference":
        return max(-1.0, mean - half), min(1.0, mean + half)
    if not 0 < mean < 1:  # a correction may overshoot; the interval then stays at that end
        return max(0.0, min(1.0, mean - half)), min(1.0, max(0.0, mean + half))
    half /= mean * (1 - mean)
    return float(expit(logit(mean) - half)), float(expit(logit(mean) + half))
