"""Does merging beat mixing? Puts the decisions of the comparisons with the baseline into words.

For the rule of the decisions see `mixmerge.records.results.Decision`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from mixmerge.records import Axis
from mixmerge.records.results import (
    DISTIL,
    MERGE_THEN_DISTIL,
    AxisInfo,
    Comparison,
    Contrast,
    Decision,
    Results,
    Stage,
    is_answer,
)
from mixmerge.records.sweeps import MatchedDifference
from mixmerge.reporting import formats, models

_DOING = {
    "merge": "merging",
    DISTIL: "distilling",
    MERGE_THEN_DISTIL: "merging, then distilling,",
}
_FROM_BEST: tuple[Decision, ...] = (
    "beats",
    "equivalent",
    "trades",
    "undecided",
    "loses",
    "incomplete",
)


@dataclass(frozen=True)
class SingleModel:
    """An expert or a given model that dominates the best-supported merge or the baseline."""

    name: str
    over: tuple[str, ...]
    """The models that it dominates: the best-supported merge, the baseline, or both."""


@dataclass(frozen=True)
class StageVerdict:
    """The verdict on one stage."""

    best: Comparison | None
    """The decision on the best-supported merge; None while no comparison is complete."""
    single: SingleModel | None
    sentence: str
    """Empty if the stage has no merge."""


@dataclass(frozen=True)
class Conclusion:
    """The answer to "mix or merge?"."""

    headline: str
    """The answer, without evidence."""
    evidence: str
    """The changes by the best-supported merge, with intervals; empty without a comparison."""
    prompts: str
    """The number of prompts of each deciding axis."""
    too_small: list[str]
    """The deciding axes on which no comparison has an interval, and why."""
    matched: list[str]
    """Sweeps against the baseline at its value of one axis, a sentence for each stage."""
    stages: dict[Stage, StageVerdict]


def conclude(results: Results) -> Conclusion:
    """Summarize the decisions of results, which may be incomplete."""
    verdicts = {stage: _stage_verdict(results, stage) for stage in models.stages(results)}
    matched = [_at_the_same_price(results, stage) for stage in models.stages(results)]
    headline, evidence = _answer(results, verdicts)
    return Conclusion(
        headline=headline,
        evidence=evidence,
        prompts=_prompts(results),
        too_small=[
            f"Too small to say on {axis}: {reason.rstrip('.')}."
            for axis in results.deciding
            if (reason := _no_interval(results, axis))
        ],
        matched=[told for told in matched if told],
        stages=verdicts,
    )


def _prompts(results: Results) -> str:
    """Return the number of prompts, and of source questions where these are fewer."""
    told = []
    for axis in results.deciding:
        scores = [model.axes[axis] for model in results.models.values() if axis in model.axes]
        verdicts = max((score.n for score in scores), default=0)
        questions = max((e.n for e in results.contrasts if e.axis == axis), default=verdicts)
        of = f" (of {formats.count(questions)} questions)" if questions < verdicts else ""
        told.append(f"{axis} {formats.count(verdicts)}{of}")
    return f"Prompts with a verdict: {', '.join(told)}." if told else ""


def _no_interval(results: Results, axis: Axis) -> str:
    """Return why no comparison has an interval on an axis; empty if one has."""
    found = [each for each in results.contrasts if each.axis == axis]
    if any(each.ci for each in found):
        return ""
    return next((each.absent["ci"] for each in found if "ci" in each.absent), "")


def _stage_verdict(results: Results, stage: Stage) -> StageVerdict:
    comparisons = [each for each in results.decisions if each.stage == stage]
    complete = [each for each in comparisons if each.decision != "incomplete"]
    best = min(complete, key=lambda each: support(results, each), default=None)
    single = _dominating_model(results, best) if best else None
    sentence = _stage_sentence(results, stage, comparisons, best, single)
    return StageVerdict(best, single, sentence)


def support(results: Results, comparison: Comparison) -> tuple[float, ...]:
    """Return a sort key; the best-supported merge has the lowest.

    First the decision, then how many axes are significantly better and how few are worse, then the
    smallest p-value of a better axis, then the sum of the gains, each as a share of its scale.
    """
    p, total = 1.0, 0.0
    for axis, contrast in contrasts_of(results, comparison).items():
        info = results.axes[axis]
        gain = info.sign * contrast.difference / (info.bounds[1] - info.bounds[0])
        p = min(p, contrast.p_adjusted) if gain > 0 else p
        total += gain
    counts = -len(comparison.better), len(comparison.worse)
    return _FROM_BEST.index(comparison.decision), *counts, p, -total


def contrasts_of(results: Results, comparison: Comparison) -> dict[Axis, Contrast]:
    """Return the contrasts of a merge with its baseline on the deciding axes."""
    found = {axis: results.contrast(comparison.a, comparison.b, axis) for axis in results.deciding}
    return {axis: contrast for axis, contrast in found.items() if contrast}


def _dominating_model(results: Results, best: Comparison) -> SingleModel | None:
    known = models.gains(results, results.models, tuple(results.deciding))
    rivals = [name for name in (best.a, best.b) if name in known]
    found = [
        SingleModel(
            name, tuple(rival for rival in rivals if models.dominates(known[name], known[rival]))
        )
        for name in models.models_of(results, best.stage)
        if results.models[name].arm in ("single expert", "given") and name in known
    ]
    top = max(found, key=lambda model: (best.a in model.over, len(model.over)), default=None)
    return top if top and top.over else None


def _at_the_same_price(results: Results, stage: Stage) -> str:
    """Describe how a stage's sweeps differ from its baseline at the baseline's value."""
    told = []
    own = [each for each in results.matched if results.models[each.model].stage == stage]
    for each in own:
        parts = [
            f"in {formats.phrase(results, axis)} by {_matched_words(results.axes[axis], found)}"
            for axis, found in each.differences.items()
            if found.difference is not None
        ]
        said = f"differs {formats.listed(parts)}" if parts else "does not reach it"
        told.append(f"{each.model} {said}")
    if not own:
        return ""
    level = formats.value(results.axes[own[0].axis], own[0].level)
    at = f"at {formats.phrase(results, own[0].axis)} of {own[0].baseline}"
    return models.titled(results, stage, f"{at} ({level}), {'; '.join(told)}.")


def _matched_words(info: AxisInfo, found: MatchedDifference) -> str:
    assert found.difference is not None
    ends = formats.ends(found.ci, partial(formats.difference, info))
    return f"{formats.difference_in_words(info, found.difference)} ({ends or 'no interval'})"


def _changes(results: Results, comparison: Comparison) -> str:
    """Describe what a merge changes; with three axes or more, significant changes come first."""
    contrasts = contrasts_of(results, comparison)
    sure = {*comparison.better, *comparison.worse}
    first = [axis for axis in contrasts if axis in sure or len(contrasts) <= 2]
    rest = [_change(results, contrasts[axis]) for axis in contrasts if axis not in first]
    if not first:
        return f"changes nothing significantly: {formats.listed(rest)}"
    prefixes = [f"95{formats.NARROW_SPACE}% interval ", *[""] * len(first)]
    told = [
        f"{_change(results, contrasts[axis])} ({_evidence(results, contrasts[axis], prefix)})"
        for axis, prefix in zip(first, prefixes, strict=False)
    ]
    also = f", and not significantly {formats.listed(rest)}" if rest else ""
    return f"changes {formats.listed(told)}{also}"


def _change(results: Results, contrast: Contrast) -> str:
    info = results.axes[contrast.axis]
    by = formats.difference_in_words(info, contrast.difference)
    return f"{formats.phrase(results, contrast.axis)} by {by}"


def _evidence(results: Results, contrast: Contrast, prefix: str) -> str:
    p = formats.p_value(contrast.p_adjusted)
    if not contrast.ci:
        return p
    write = partial(formats.difference, results.axes[contrast.axis])
    return f"{prefix}{formats.ends(contrast.ci, write)}, {p}"


def decision_words(results: Results) -> dict[Decision, tuple[str, str]]:
    """Return each decision in words, of one model and of several; "it" is the baseline."""
    other = "the other" if len(results.deciding) == 2 else "another"
    return {
        "beats": ("beats it", "beat it"),
        "trades": (f"trades one axis for {other}", f"trade one axis for {other}"),
        "equivalent": ("is equivalent to it", "are equivalent to it"),
        "undecided": ("is undecided", "are undecided"),
        "loses": ("loses to it", "lose to it"),
        "incomplete": ("is not compared yet", "are not compared yet"),
    }


def _tally(results: Results, comparisons: Sequence[Comparison]) -> str:
    words = decision_words(results)
    decisions = [comparison.decision for comparison in comparisons]
    counts = {decision: decisions.count(decision) for decision in words}
    return ", ".join(f"{number} {words[d][number > 1]}" for d, number in counts.items() if number)


def _stage_sentence(
    results: Results,
    stage: Stage,
    comparisons: Sequence[Comparison],
    best: Comparison | None,
    single: SingleModel | None,
) -> str:
    baseline = results.models.get(results.baselines.get(stage, ""))
    arms = {results.models[name].arm for name in models.models_of(results, stage)}
    if not any(is_answer(arm, baseline.arm if baseline else arm) for arm in arms):
        return ""
    one, several = models.nouns(results)
    if best is None:
        said = f"no {one} is compared with the baseline{formats.on_all(results)} yet."
    else:
        total = len(comparisons)
        aside = _other_axes(results, best)
        # With one stage, the headline already has the changes.
        told = f" is {best.a}{aside}"
        if models.of_stage(results, stage):
            clause = _single_clause(results, single)
            told = f", {best.a}, {_changes(results, best)}{aside}{clause}"
        said = (
            f"of {total} {several if total > 1 else one} against "
            f"{best.b}, {_tally(results, comparisons)}; "
            f"the best-supported{told}."
        )
    return models.titled(results, stage, said)


def _other_axes(results: Results, best: Comparison) -> str:
    """Describe the other axes: they show, for example, that a safe merge refuses everything."""
    told = []
    for axis, info in results.axes.items():
        own, other = (results.models[n].axes.get(axis) for n in (best.a, best.b))
        if not info.primary and own and other:
            measured = info.phrase.removeprefix("the ")
            what = "" if measured == axis else f" ({measured})"
            told.append(
                f"on {axis}{what} it has {formats.value(info, own.value)} "
                f"({best.b}: {formats.value(info, other.value)})"
            )
    return f"; {formats.listed(told)}" if told else ""


def _single_clause(results: Results, single: SingleModel | None) -> str:
    if single is None:
        return ""
    return (
        f"; yet {single.name} alone measures at least as well{formats.on_all(results)} as "
        f"{formats.listed(single.over)}"
    )


def _answer(results: Results, verdicts: Mapping[Stage, StageVerdict]) -> tuple[str, str]:
    """Return the answer and its evidence."""
    decided = [(verdict.best, verdict.single) for verdict in verdicts.values() if verdict.best]
    one, several = models.nouns(results)
    if not decided and not results.baselines:
        return f"No verdict: there is no baseline to compare {several} with.", ""
    if not decided:
        on_all = formats.on_all(results)
        return f"No verdict yet: no {one} has been compared with its baseline{on_all}.", ""
    best, single = min(decided, key=lambda pair: support(results, pair[0]))
    # Arms against one baseline are one question, though students are a stage of their own.
    one_question = models.names_arms(results) and len({own.b for own, _ in decided}) == 1
    losing = [models.stage_name(own.stage) for own, _ in decided if own.decision != "beats"]
    without = [] if one_question else losing
    at = (
        f"at the {models.stage_name(best.stage)} stage"
        if models.of_stage(results, best.stage) and not one_question
        else ""
    )
    evidence = (
        f"{f'{at}, ' if at else ''}against {best.b}, {best.a} {_changes(results, best)}"
        f"{_single_clause(results, single)}."
    )
    return f"{_claim(results, best, at, without)}.", evidence[0].upper() + evidence[1:]


def _claim(results: Results, best: Comparison, at: str, without: Sequence[str]) -> str:
    rival = "mixing" if models.is_mix(results, best.b) else best.b
    doing = _doing(results, best)
    several = len({_doing(results, each) for each in results.decisions}) > 1
    if best.decision == "beats":
        plural = "s" if without[1:] else ""
        but = f", not at the {formats.listed(without)} stage{plural}" if without else ""
        return f"{_capital(doing)} beats {rival}{f' {at}' if at else ''}{but}"
    if best.decision == "equivalent":
        return f"{_capital(doing)} does as well as {rival}: every difference is below the margin"
    if best.decision == "trades":
        other = "the other" if len(results.deciding) == 2 else "another"
        said = "No arm beats" if several else f"{_capital(doing)} does not beat"
        return f"{said} {rival}; at best {doing if several else 'it'} trades one axis for {other}"
    if best.decision == "undecided" and any(_no_interval(results, a) for a in results.deciding):
        return f"Too small to say whether {'any arm' if several else doing} beats {rival}"
    if best.decision == "undecided":
        subject = "No arm is" if several else f"{_capital(doing)} is not"
        return f"{subject} shown to beat {rival}; {_in_doubt(results, best)}"
    loses = _capital(rival) if rival == "mixing" else rival
    beaten, (one, _) = "every arm" if several else doing, models.nouns(results)
    return f"{loses} beats {beaten.rstrip(',')}; every {one} that was compared loses"


def _doing(results: Results, comparison: Comparison) -> str:
    """Return what one does to get the model of a comparison; the name of an arm with a name."""
    arm = results.models[comparison.a].arm
    return _DOING.get(arm, arm if models.names_arms(results) else "merging")


def _capital(words: str) -> str:
    return words[0].upper() + words[1:] if words in _DOING.values() or words == "mixing" else words


def _in_doubt(results: Results, best: Comparison) -> str:
    """Return what keeps the best-supported merge undecided."""
    open_axes = [axis for axis in results.deciding if axis not in (*best.not_worse, *best.better)]
    pairs = contrasts_of(results, best).items()
    if not any(results.axes[axis].sign * each.difference > 0 for axis, each in pairs):
        return "the best case measures better on no axis"
    if worse := [axis for axis in best.worse if axis not in best.not_worse]:
        told = [formats.phrase(results, axis) for axis in worse]
        return f"the best case is worse on {formats.listed(told)}"
    if not best.better:
        return "the best case is within the noise of this evaluation"
    margins = [
        f"{formats.phrase(results, axis)} by {formats.margin(results.axes[axis])}"
        for axis in open_axes or results.deciding
    ]
    return f"the best case may be worse on {formats.listed(margins)} or more"
