"""Agreement of verdicts and labels, and the grade of a judge: useless, doubtful or usable."""

import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mixmerge.evaluation.calibration.material import NO_VERDICT, Evidence, LabelledAnswer, numbered
from mixmerge.records import Outcome
from mixmerge.records.judge_card import Accuracy, AxisTrial, Statistic, SwapConsistency
from mixmerge.stats import agreement
from mixmerge.stats.bootstrap import Codes, Floats
from mixmerge.stats.estimate import Estimate, too_small

MOST_MISSING = 0.05
"""Share of missing verdicts above which there is a warning; above half the judge is useless."""
LEAST_CONSISTENT = 0.75
"""Share of comparisons with one outcome in both orders below which there is a warning."""
LEAST_ALPHA = 2 / 3
"""Krippendorff's limit for tentative conclusions."""
MOST_FOOLED = 0.10
"""Share of a probe's answers above which there is a warning."""


def statistic(estimate: Estimate | None) -> Statistic | None:
    """Return an estimate in the judge card's format."""
    if estimate is None:
        return None
    return Statistic(value=estimate.value, ci=estimate.offered, n=estimate.n)


def share(hit: Floats, cluster: Codes, weight: Floats | None = None) -> Statistic | None:
    """Return the share of hits; None without observations (all NaN)."""
    if np.isnan(hit).all():
        return None
    found = agreement.clustered_share(hit, cluster, weight)
    absent = too_small(found.n, found.clusters, found.clusters, varying=0, required=0)
    return Statistic(value=found.value, ci=None if absent else found.interval, n=found.n)


def accuracy(found: Evidence, inside: NDArray[np.bool_] | None = None) -> Accuracy:
    """Return sensitivity, specificity and agreement on all answers or a subset."""
    part = slice(None) if inside is None else inside
    truth, said, cluster = found.truth[part], found.said[part], found.cluster[part]
    weight = found.weight[part]
    top = len(found.outcomes) - 1
    right = np.where(said == NO_VERDICT, np.nan, (said == truth).astype(float))
    return Accuracy(
        n=len(truth),
        missing=int((said == NO_VERDICT).sum()),
        prevalence=float(np.average(truth == top, weights=weight)) if len(truth) else None,
        sensitivity=share(np.where(truth == top, right, np.nan), cluster, weight),
        specificity=share(np.where(truth == 0, right, np.nan), cluster, weight),
        agreement=share(right, cluster, weight),
    )


def accuracy_by(
    found: Evidence, key: Callable[[LabelledAnswer], str | None]
) -> dict[str, Accuracy]:
    """Return the accuracy on each group of answers by a key."""
    keys = [key(answer) for answer in found.answers]
    return {
        name: accuracy(found, np.array([each == name for each in keys]))
        for name in dict.fromkeys(keys)
        if name is not None
    }


def confusion_counts(found: Evidence) -> dict[str, dict[str, int]]:
    """Return how many answers have each label and verdict."""
    counts: Counter[tuple[str, str]] = Counter(
        (answer.truth, answer.said or "missing") for answer in found.answers
    )
    words = (*found.outcomes, "missing")
    return {label: {word: counts[label, word] for word in words} for label in found.outcomes}


def coefficients(found: Evidence) -> dict[Literal["youden", "kappa", "alpha"], Statistic | None]:
    """Return Youden's J, Cohen's kappa and Krippendorff's alpha of judge and labels."""
    size = len(found.outcomes)
    tables = agreement.confusion(found.truth, found.said, size)
    pairs = agreement.coincidences(np.stack([found.truth, found.said], axis=1), size)
    tables, pairs = (each * found.weight[:, None, None] for each in (tables, pairs))
    return {
        "youden": statistic(agreement.coefficient(tables, found.cluster, agreement.youden)),
        "kappa": statistic(agreement.coefficient(tables, found.cluster, agreement.cohen_kappa)),
        "alpha": statistic(agreement.coefficient(pairs, found.cluster, alpha_for(size))),
    }


def alpha_for(size: int) -> agreement.Coefficient:
    """Return Krippendorff's alpha: ordinal for loss, tie and win, nominal for no and yes."""
    level: Literal["nominal", "ordinal"] = "ordinal" if size > 2 else "nominal"
    return lambda table: agreement.krippendorff_alpha(table, level)


def alpha_of_labels(found: Evidence) -> Statistic | None:
    """Return alpha among the labellers; None with one labeller."""
    cluster_of = {prompt.id: prompt.cluster for prompt in found.material.prompts}
    rated = found.labels.ratings
    clusters = [cluster_of[prompt] for _, prompt in rated]
    return _alpha_among(found, list(rated.values()), clusters)


def alpha_of_panel(found: Evidence) -> Statistic | None:
    """Return alpha among the judges of a panel, by order; None with one judge."""
    rated: list[Mapping[str, Outcome]] = []
    clusters: list[str] = []
    for answer in found.answers:
        for order in dict.fromkeys(row.order for row in answer.verdicts):
            rows = [row for row in answer.verdicts if row.order == order]
            votes = {row.judge: row.outcome for row in rows}
            rated.append(rows[0].votes or votes)
            clusters.append(answer.prompt.cluster)
    return _alpha_among(found, rated, clusters)


def _alpha_among(
    found: Evidence, rated: Sequence[Mapping[str, Outcome]], clusters: Sequence[str]
) -> Statistic | None:
    """Return alpha among the raters of some items, clustered by source prompt."""
    codes, size = coded(rated, found.outcomes), len(found.outcomes)
    if codes.shape[1] < 2:
        return None
    tables = agreement.coincidences(codes, size)
    return statistic(agreement.coefficient(tables, numbered(clusters), alpha_for(size)))


def coded(rated: Sequence[Mapping[str, Outcome]], outcomes: Sequence[Outcome]) -> NDArray[np.intp]:
    """Return the places of some items' ratings among the outcomes, shape (items, raters).

    Raters are in the order of their names; `NO_VERDICT` stands where one did not rate an item.
    """
    people = sorted({who for row in rated for who in row})
    known: dict[Outcome | None, int] = {word: code for code, word in enumerate(outcomes)}
    codes = [[known.get(row.get(who), NO_VERDICT) for who in people] for row in rated]
    return np.array(codes, dtype=np.intp).reshape(len(rated), len(people))


def swap_consistency(found: Evidence) -> SwapConsistency | None:
    """Return the effect of the order of two answers; None if none was judged in both orders."""
    same = np.full(len(found.answers), np.nan)
    first = np.full(len(found.answers), np.nan)
    for place, answer in enumerate(found.answers):
        said = {
            order: [row.outcome for row in answer.verdicts if row.order == order]
            for order in ("model-first", "base-first")
        }
        if answer.said is None or not all(said.values()):
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


def length_slope(found: Evidence) -> Statistic | None:
    """Return how much verdicts exceed labels per standard deviation of length (length bias)."""
    if not found.answers:
        return None
    lengths = np.array([answer.length for answer in found.answers])
    language = np.array([answer.prompt.language for answer in found.answers])
    for name in np.unique(language):
        inside = language == name
        centred = lengths[inside] - lengths[inside].mean()
        lengths[inside] = centred / (centred.std() or 1)
    return statistic(agreement.clustered_slope(lengths, found.error, found.cluster))


def assessed(trial: AxisTrial) -> AxisTrial:
    """Return the trial with the judge's grade and its warnings, the most serious first."""
    grave, slight = tuple(_useless(trial)), tuple(_doubts(trial))
    grade = "useless" if grave else "doubtful" if slight else "usable"
    return trial.model_copy(update={"grade": grade, "warnings": (*grave, *slight)})


def _useless(trial: AxisTrial) -> Iterator[str]:
    n, missing = trial.accuracy.n, trial.accuracy.missing
    if n and missing > n / 2:
        yield f"No verdict on {missing} of {n} labelled answers."
    counts = {
        label: {word for word, count in row.items() if count}
        for label, row in trial.confusion.items()
        if any(row.values())
    }
    said = set[str]().union(*counts.values()) - {"missing"}
    unjudged = sorted(label for label, words in counts.items() if words == {"missing"})
    if len(said) == 1 and len(counts) - len(unjudged) > 1:
        yield (
            f"The judge says “{said.pop()}” of all {n - missing} answers, whatever they are: "
            "its verdicts contain no information."
        )
    elif trial.youden is None:
        unknown = "so it is not known whether the judge can distinguish answers."
        yield (
            f"No verdict on any answer labelled “{'” or “'.join(unjudged)}”, {unknown}"
            if unjudged
            else f"The only label is “{'”, “'.join(sorted(counts))}”, {unknown}"
        )
    elif (trial.youden.ci or (trial.youden.value,))[0] <= 0:
        yield (
            f"The judge is not distinguishable from chance: J = {trial.youden.value:.2f}"
            f"{_interval(trial.youden)}, where 1 is perfect and 0 is chance."
        )


def _doubts(trial: AxisTrial) -> Iterator[str]:
    n, missing = trial.accuracy.n, trial.accuracy.missing
    if MOST_MISSING * n < missing <= n / 2:
        yield f"No verdict on {missing} of {n} labelled answers."
    if trial.alpha is not None and trial.alpha.value < LEAST_ALPHA:
        yield (
            f"Judge and labels agree too little: Krippendorff's alpha is {trial.alpha.value:.2f}"
            f"{_interval(trial.alpha)}; below 0.67 not even tentative conclusions are usual."
        )
    if trial.swap is not None and trial.swap.consistent.value < LEAST_CONSISTENT:
        first = trial.swap.first_place
        place = f"; the answer shown first wins {first.value:.0%} of the time" if first else ""
        changed = 1 - trial.swap.consistent.value
        yield f"Swapping the answers changes {changed:.0%} of the outcomes{place}."
    slope = trial.length_slope
    if slope and slope.ci and (slope.ci[0] > 0 or slope.ci[1] < 0):
        taste = "longer answers" if slope.value > 0 else "shorter answers"
        verb = (
            "favours {} beyond what" if "win" in trial.confusion else "says “yes” more of {} than"
        )
        yield (
            f"The judge {verb.format(taste)} the labels do: "
            f"{100 * slope.value:+.1f} points for one standard deviation of length."
        )
    yield from _weak_languages(trial)
    for probe in trial.probes:
        if probe.fooled is not None and probe.fooled.value > MOST_FOOLED:
            fooled = round(probe.fooled.value * probe.n)
            yield f"Fooled {fooled} times of {probe.n} by {probe.asks}."


def _weak_languages(trial: AxisTrial) -> Iterator[str]:
    overall = trial.accuracy.agreement
    for language, part in trial.by_language.items():
        agreed = part.agreement
        if overall and agreed and agreed.ci and agreed.ci[1] < overall.value:
            yield (
                f"In {language} the judge agrees with the labels on {agreed.value:.0%} of the "
                f"answers, overall on {overall.value:.0%}."
            )


def _interval(found: Statistic) -> str:
    if found.ci is None:
        return " (no interval: too few source prompts)"
    return f" (95 % interval {found.ci[0]:.2f} to {found.ci[1]:.2f})"
