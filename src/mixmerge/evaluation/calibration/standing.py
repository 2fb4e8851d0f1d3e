"""What a trial means, in sentences: a judge is useless, doubtful or usable."""

from collections.abc import Iterator
from typing import NamedTuple

from mixmerge.evaluation.calibration.material import Evidence
from mixmerge.records.judge_card import Accuracy, Measured, Probe, Standing, SwapConsistency

MOST_MISSING = 0.05
"""Share of answers without a verdict above which there is a warning; above half it is useless."""
LEAST_CONSISTENT = 0.75
"""Share of comparisons with one outcome in both orders below which there is a warning."""
LEAST_ALPHA = 2 / 3
"""Krippendorff's own limit for tentative conclusions."""
MOST_FOOLED = 0.10
"""Share of a probe's answers above which there is a warning."""


class Findings(NamedTuple):
    """What the sentences are made from."""

    accuracy: Accuracy
    youden: Measured | None
    alpha: Measured | None
    swap: SwapConsistency | None
    length_slope: Measured | None
    by_language: dict[str, Accuracy]
    probes: tuple[Probe, ...]


def standing(found: Evidence, seen: Findings) -> tuple[Standing, tuple[str, ...]]:
    """Return the judge's standing on an axis and the warnings, the gravest first."""
    grave = tuple(_useless(found, seen))
    slight = tuple(_doubts(seen))
    return ("useless" if grave else "doubtful" if slight else "usable"), (*grave, *slight)


def _useless(found: Evidence, seen: Findings) -> Iterator[str]:
    n, missing = seen.accuracy.n, seen.accuracy.missing
    if n and missing > n / 2:
        yield f"No verdict on {missing} of {n} labelled answers."
    said = {item.said for item in found.items if item.said is not None}
    labels = {item.truth for item in found.items}
    judged = {item.truth for item in found.items if item.said is not None}
    if len(said) == 1 and len(judged) > 1:
        yield (
            f"The judge says “{said.pop()}” of all {n - missing} answers, whatever they are: "
            "its verdicts hold no information."
        )
    elif seen.youden is None and judged != labels:
        yield (
            f"No verdict on any answer labelled “{'” or “'.join(sorted(labels - judged))}”, so "
            "whether the judge can tell answers apart is not known."
        )
    elif seen.youden is None:
        yield (
            f"Only “{'”, “'.join(sorted(labels))}” is among the labels, so whether the judge can "
            "tell answers apart is not known."
        )
    elif (seen.youden.ci or (seen.youden.value,))[0] <= 0:
        yield (
            f"The judge cannot be told from chance: J = {seen.youden.value:.2f}"
            f"{_interval(seen.youden)}, where 1 is perfect and 0 a coin."
        )


def _doubts(seen: Findings) -> Iterator[str]:
    n, missing = seen.accuracy.n, seen.accuracy.missing
    if MOST_MISSING * n < missing <= n / 2:
        yield f"No verdict on {missing} of {n} labelled answers."
    if seen.alpha is not None and seen.alpha.value < LEAST_ALPHA:
        yield (
            f"Judge and labels agree too little: Krippendorff's alpha is {seen.alpha.value:.2f}"
            f"{_interval(seen.alpha)}; below 0.67 not even tentative conclusions are usual."
        )
    yield from _swap_doubts(seen.swap)
    if seen.length_slope and seen.length_slope.ci:
        low, high = seen.length_slope.ci
        if low > 0 or high < 0:
            taste = "longer" if low > 0 else "shorter"
            yield (
                f"The judge favours {taste} answers beyond what the labels do: "
                f"{100 * seen.length_slope.value:+.1f} points for one standard deviation of length."
                if seen.swap is not None
                else f"The judge says “yes” more of {taste} answers than the labels do: "
                f"{100 * seen.length_slope.value:+.1f} points for one standard deviation of length."
            )
    yield from _weak_languages(seen)
    for probe in seen.probes:
        if probe.fooled is not None and probe.fooled.value > MOST_FOOLED:
            fooled = round(probe.fooled.value * probe.n)
            yield f"Fooled {fooled} times of {probe.n} by {probe.asks}."


def _swap_doubts(swap: SwapConsistency | None) -> Iterator[str]:
    if swap is None:
        return
    if swap.consistent.value < LEAST_CONSISTENT:
        yield (
            f"Swapping the answers changes {1 - swap.consistent.value:.0%} of the outcomes"
            + (
                f"; the answer shown first wins {swap.first_place.value:.0%} of the time."
                if swap.first_place
                else "."
            )
        )


def _weak_languages(seen: Findings) -> Iterator[str]:
    overall = seen.accuracy.agreement
    for language, part in seen.by_language.items():
        agreed = part.agreement
        if overall and agreed and agreed.ci and agreed.ci[1] < overall.value:
            yield (
                f"In {language} the judge agrees with the labels on {agreed.value:.0%} of the "
                f"answers, overall on {overall.value:.0%}."
            )


def _interval(found: Measured) -> str:
    if found.ci is None:
        return " (no interval: too few source prompts)"
    return f" (95 % interval {found.ci[0]:.2f} to {found.ci[1]:.2f})"
