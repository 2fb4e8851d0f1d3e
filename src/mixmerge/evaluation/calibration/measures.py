"""Verdicts against labels, in numbers."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np

from mixmerge.evaluation.calibration.material import NO_VERDICT, Evidence, Item, numbered
from mixmerge.records import Outcome
from mixmerge.records.judge_card import Accuracy, Measured, SwapConsistency
from mixmerge.stats.agreement import (
    Codes,
    clustered_share,
    clustered_slope,
    coefficient,
    cohen_kappa,
    coincidences,
    confusion,
    krippendorff_alpha,
    youden,
)
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.estimate import MIN_CLUSTERS, Estimate

Statistic = Callable[[Floats], Floats]
Part = Callable[[Item], bool]

_FEWEST_ANSWERS = 30
"""For an interval: with 20 answers of yes or no there are too few results for one that covers."""


def measured(estimate: Estimate | None) -> Measured | None:
    """Return an estimate as the card holds it; an end without limit is no interval."""
    if estimate is None:
        return None
    known = all(map(math.isfinite, estimate.interval))
    ci = estimate.interval if known else None
    return Measured(value=estimate.value, ci=ci, n=estimate.n)


def share(hit: Floats, cluster: Codes) -> Measured | None:
    """Return the share of hits; None where there is no observation (all NaN)."""
    if np.isnan(hit).all():
        return None
    found = clustered_share(hit, cluster)
    enough = found.clusters >= MIN_CLUSTERS and found.n >= _FEWEST_ANSWERS
    return Measured(value=found.value, ci=found.interval if enough else None, n=found.n)


def accuracy(found: Evidence, part: Part = lambda _: True) -> Accuracy:
    """Return sensitivity, specificity and agreement on a part of the answers."""
    inside = np.array([part(item) for item in found.items], dtype=np.bool_)
    truth, said, cluster = found.truth[inside], found.said[inside], found.cluster[inside]
    top = len(found.outcomes) - 1
    right = np.where(said == NO_VERDICT, np.nan, (said == truth).astype(float))
    return Accuracy(
        n=len(truth),
        missing=int((said == NO_VERDICT).sum()),
        prevalence=float((truth == top).mean()) if len(truth) else None,
        sensitivity=share(np.where(truth == top, right, np.nan), cluster),
        specificity=share(np.where(truth == 0, right, np.nan), cluster),
        agreement=share(right, cluster),
    )


def accuracy_by(found: Evidence, key: Callable[[Item], str | None]) -> dict[str, Accuracy]:
    """Return the accuracy on each part that a key names."""
    names = dict.fromkeys(name for item in found.items if (name := key(item)) is not None)

    def named(name: str) -> Part:
        return lambda item: key(item) == name

    return {name: accuracy(found, named(name)) for name in names}


def confusion_counts(found: Evidence) -> dict[str, dict[str, int]]:
    """Return how many answers have each label and verdict."""
    words = [*found.outcomes, "missing"]
    return {
        label: {
            word: sum(
                item.truth == label and (item.said or "missing") == word for item in found.items
            )
            for word in words
        }
        for label in found.outcomes
    }


def coefficients(
    found: Evidence, draws: int, seed: Sequence[int]
) -> dict[Literal["youden", "kappa", "alpha"], Measured | None]:
    """Return Youden's J, Cohen's kappa and Krippendorff's alpha of judge and labels."""
    size = len(found.outcomes)
    tables = confusion(found.truth, found.said, size)
    pairs = coincidences(np.stack([found.truth, found.said], axis=1), size)

    def one(values: Floats, statistic: Statistic) -> Measured | None:
        rng = np.random.default_rng(seed)
        return measured(coefficient(values, found.cluster, statistic, draws=draws, rng=rng))

    return {
        "youden": one(tables, youden),
        "kappa": one(tables, cohen_kappa),
        "alpha": one(pairs, alpha_for(size)),
    }


def alpha_for(size: int) -> Statistic:
    """Return Krippendorff's alpha: ordinal for loss, tie and win, nominal for no and yes."""
    level: Literal["nominal", "ordinal"] = "ordinal" if size > 2 else "nominal"
    return lambda table: krippendorff_alpha(table, level)


def alpha_of_labels(found: Evidence, draws: int, seed: Sequence[int]) -> Measured | None:
    """Return alpha among the labellers; None with one labeller."""
    cluster_of = {prompt.id: prompt.cluster for prompt in found.material.prompts}
    rated = found.labels.ratings
    clusters = [cluster_of[prompt] for _, prompt in rated]
    return _alpha_among(found, list(rated.values()), clusters, draws, seed)


def alpha_of_panel(found: Evidence, draws: int, seed: Sequence[int]) -> Measured | None:
    """Return alpha among the judges of a panel, each order for itself; None for one judge."""
    rated: list[Mapping[str, Outcome]] = []
    clusters: list[str] = []
    for item in found.items:
        for order in dict.fromkeys(row.order for row in item.verdicts):
            rows = [row for row in item.verdicts if row.order == order]
            votes = {row.judge: row.outcome for row in rows}
            rated.append(rows[0].votes or votes)
            clusters.append(item.prompt.cluster)
    return _alpha_among(found, rated, clusters, draws, seed)


def _alpha_among(
    found: Evidence,
    rated: Sequence[Mapping[str, Outcome]],
    clusters: Sequence[str],
    draws: int,
    seed: Sequence[int],
) -> Measured | None:
    """Return alpha among several raters.

    Args:
        found: for the outcomes of the axis.
        rated: the ratings of each item, by rater.
        clusters: the source prompt of each item.
        draws: bootstrap samples.
        seed: of the draws.
    """
    people = sorted({who for row in rated for who in row})
    if len(people) < 2:
        return None
    known = {outcome: code for code, outcome in enumerate(found.outcomes)}
    codes = [[known.get(row[who], NO_VERDICT) if who in row else NO_VERDICT for who in people]
             for row in rated]  # fmt: skip
    size = len(found.outcomes)
    tables = coincidences(np.array(codes, dtype=np.intp), size)
    rng = np.random.default_rng(seed)
    return measured(coefficient(tables, numbered(clusters), alpha_for(size), draws=draws, rng=rng))


def swap_consistency(found: Evidence) -> SwapConsistency | None:
    """Return what the order of two answers does; None where nothing was asked in both orders."""
    same = np.full(len(found.items), np.nan)
    first = np.full(len(found.items), np.nan)
    for place, item in enumerate(found.items):
        said = {order: _of_order(item, order) for order in ("model-first", "base-first")}
        if item.said is None or not all(said.values()):
            continue
        there, back = said["model-first"], said["base-first"]
        same[place] = sum(map(operator.eq, there, back)) / len(there)
        firsts = there.count("win") + back.count("loss")
        decided = len(there) + len(back) - there.count("tie") - back.count("tie")
        if decided:
            first[place] = firsts / decided
    consistent = share(same, found.cluster)
    if consistent is None:
        return None
    return SwapConsistency(consistent=consistent, first_place=share(first, found.cluster))


def _of_order(item: Item, order: str) -> list[Outcome]:
    """Return what was said in one order, by every judge that speaks for itself."""
    return [row.outcome for row in item.verdicts if row.order == order]


def length_slope(found: Evidence) -> Measured | None:
    """Return by how much verdicts exceed labels for each standard deviation of length."""
    if not found.items:
        return None
    lengths = np.array([item.length for item in found.items])
    language = np.array([item.prompt.language for item in found.items])
    for name in np.unique(language):
        inside = language == name
        centred = lengths[inside] - lengths[inside].mean()
        lengths[inside] = centred / (centred.std() or 1)
    return measured(clustered_slope(lengths, found.error, found.cluster))
