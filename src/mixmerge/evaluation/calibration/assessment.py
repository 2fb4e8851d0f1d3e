"""What a calibration means, in sentences: a judge is useless, doubtful or usable."""

from collections.abc import Iterator

from mixmerge.records.judge_card import AxisTrial, Statistic, SwapConsistency

MOST_MISSING = 0.05
"""Share of answers without a verdict above which there is a warning; above half it is useless."""
LEAST_CONSISTENT = 0.75
"""Share of comparisons with one outcome in both orders below which there is a warning."""
LEAST_ALPHA = 2 / 3
"""Krippendorff's own limit for tentative conclusions."""
MOST_FOOLED = 0.10
"""Share of a probe's answers above which there is a warning."""


def assessed(trial: AxisTrial) -> AxisTrial:
    """Return the trial with the judge's grade and the warnings, the gravest first."""
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
            "its verdicts hold no information."
        )
    elif trial.youden is None:
        unknown = "so whether the judge can tell answers apart is not known."
        yield (
            f"No verdict on any answer labelled “{'” or “'.join(unjudged)}”, {unknown}"
            if unjudged
            else f"Only “{'”, “'.join(sorted(counts))}” is among the labels, {unknown}"
        )
    elif (trial.youden.ci or (trial.youden.value,))[0] <= 0:
        yield (
            f"The judge cannot be told from chance: J = {trial.youden.value:.2f}"
            f"{_interval(trial.youden)}, where 1 is perfect and 0 a coin."
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
        yield _swapped(trial.swap)
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


def _swapped(swap: SwapConsistency) -> str:
    first = swap.first_place
    place = f"; the answer shown first wins {first.value:.0%} of the time" if first else ""
    return f"Swapping the answers changes {1 - swap.consistent.value:.0%} of the outcomes{place}."


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
