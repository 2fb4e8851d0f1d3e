"""Draw the prompts to label where labels shrink the corrected intervals most.

The corrected rate of an axis is a sum over strata, whose variance is ``sum of (W S)² / n``: W is
the stratum's share of the prompts, S the standard deviation of the truth around the judge's
verdict, and n the labelled prompts. At a cost of c labels a prompt it is least for n in proportion
to ``W S / sqrt(c)`` (Neyman 1934). A stratum is a language and what the judge said there (with few
labels, what it said): verdicts of which it is surer, or that are more often right, need fewer
labels. All models' answers to a drawn prompt are labelled, because differences are corrected prompt
by prompt.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mixmerge.annotation.task import StratumPlan
from mixmerge.errors import SpecError
from mixmerge.evaluation.calibration.material import Material
from mixmerge.records import Axis, Prompt
from mixmerge.records.rows import by_prompt, score_of
from mixmerge.stats.bootstrap import Floats

LEAST = 2
"""Prompts of a stratum: one does not show how much it varies."""
LEAST_YOUDEN = 0.05
"""Of a judge whose verdicts say anything."""


@dataclass(frozen=True)
class JudgeRates:
    """How often the judge of an axis is right."""

    sensitivity: float = 0.8
    specificity: float = 0.8
    source: str = "assumed: sensitivity and specificity 0.80, for want of a judge card"


@dataclass(frozen=True)
class Stratum:
    """Prompts of one axis among which labels are drawn at random."""

    axis: Axis
    name: str
    prompts: Sequence[Prompt]
    share: float
    """Of the axis's prompts."""
    deviation: float
    cost: float
    """Labels for one prompt: different answers to it."""
    truth: Floats
    """Probability of each true outcome, the worst first."""

    def planned(self, drawn: int) -> StratumPlan:
        """Return the stratum's row of the plan."""
        return StratumPlan(
            axis=self.axis,
            stratum=self.name,
            prompts=len(self.prompts),
            drawn=drawn,
            deviation=round(self.deviation, 4),
        )


def strata(material: Material, judged: JudgeRates, *, by_language: bool = True) -> list[Stratum]:
    """Return the strata of an axis: what the judge said of the models, in each language.

    Strata with fewer prompts than `LEAST` join their language's largest.
    """
    scores = {name: scores_of(material, name) for name in material.models}
    expect = {
        name: truth_given(list(own.values()), judged, material) for name, own in scores.items()
    }

    def truths(prompt: Prompt) -> list[Floats]:
        return [expect[name](own.get(prompt.id)) for name, own in scores.items()]

    groups: dict[tuple[str, str], list[Prompt]] = {}
    for prompt in material.prompts:
        said = _pattern([own.get(prompt.id) for own in scores.values()])
        language = prompt.language if by_language else "all"
        groups.setdefault((language, said), []).append(prompt)
    for language, said in sorted(groups, key=lambda key: len(groups[key])):
        others = [key for key in groups if key[0] == language and key[1] != said]
        if len(groups[language, said]) < LEAST and others:
            groups[max(others, key=lambda key: len(groups[key]))] += groups.pop((language, said))
    found = []
    for (language, said), prompts in groups.items():
        truth = np.array([each for prompt in prompts for each in truths(prompt)])
        found.append(
            Stratum(
                material.axis,
                f"{language}, {said}",
                prompts,
                len(prompts) / len(material.prompts),
                math.sqrt(max(1e-4, float(np.mean([variance(each) for each in truth])))),
                float(np.mean([len(answers_to(material, prompt.id)) for prompt in prompts])),
                truth.mean(axis=0),
            )
        )
    return found


def answers_to(material: Material, prompt: str) -> dict[tuple[str, str], list[str]]:
    """Return the different answers to a prompt, with the base model's, and the models of each."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in material.models:
        own, base = material.texts(name, prompt)
        found.setdefault((own, base if material.compares else ""), []).append(name)
    return found


def allocate(found: Sequence[Stratum], labels: float | None) -> list[int]:
    """Return how many prompts of each stratum to label; all of them if ``labels`` is None.

    Raises:
        SpecError: there are too few labels for `LEAST` prompts in each stratum.
    """
    sizes = [len(each.prompts) for each in found]
    least = [min(size, LEAST) for size in sizes]
    if labels is None:
        return sizes

    def cost(counts: Sequence[float]) -> float:
        return sum(count * each.cost for count, each in zip(counts, found, strict=True))

    if cost(least) > labels:
        raise SpecError(
            f"--labels: {math.ceil(cost(least))} different answers must be labelled for {LEAST} "
            f"prompts of each axis and verdict ({labels:.0f} are given, without overlap). "
            "Give more, or name fewer models (--model) or axes (--axis)."
        )
    weights = [each.share * each.deviation / math.sqrt(each.cost) for each in found]

    def at(scale: float) -> list[float]:
        limits = zip(weights, least, sizes, strict=True)
        return [min(size, max(low, scale * weight)) for weight, low, size in limits]

    low, high = 0.0, 1.0
    while cost(at(high)) < min(labels, cost(sizes)) and high < 1e12:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(at(middle)) <= labels else (low, middle)
    exact = at(low)
    counts = [int(count + 1e-6) for count in exact]
    for place in sorted(range(len(found)), key=lambda place: counts[place] - exact[place]):
        more = [*counts[:place], counts[place] + 1, *counts[place + 1 :]]
        if counts[place] < sizes[place] and cost(more) <= labels:
            counts = more
    return counts


def scores_of(material: Material, name: str) -> dict[str, float]:
    """Return the judge's score of each answer, from 0 to 1; nothing where it has none."""
    rows = by_prompt(material.verdicts.get(name, ()))
    scores = {prompt: score_of(said, material.worth) for prompt, said in rows.items()}
    return {prompt: score for prompt, score in scores.items() if not math.isnan(score)}


def _pattern(scores: Sequence[float | None]) -> str:
    """Return what the judge said of all models' answers to a prompt."""
    known = [score for score in scores if score is not None]
    if len(known) < len(scores) or not known:
        return "not judged"
    mean = sum(known) / len(known)
    return "low" if mean < 1e-9 else "high" if mean > 1 - 1e-9 else "mixed"


def truth_given(
    said: Sequence[float], judged: JudgeRates, material: Material
) -> Callable[[float | None], Floats]:
    """Return the probability of each true outcome by the judge's score, the worst first.

    For outcomes it is the predictive value, at Rogan and Gladen's prevalence. In comparisons the
    rest of the chance is spread evenly, and a judge that changes its mind when the answers are
    swapped knows nothing.
    """
    sensitivity, specificity = judged.sensitivity, judged.specificity
    youden = sensitivity + specificity - 1
    outcomes = 3 if material.compares else 2
    unknown = np.full(outcomes, 1 / outcomes)
    known: dict[float, Floats] = {}
    if material.compares:
        right = (sensitivity + specificity) / 2
        rest = (1 - right) / 2
        known = {1.0: np.array([rest, rest, right]), 0.0: np.array([right, rest, rest])}
    elif said and youden > LEAST_YOUDEN:
        true = min(0.98, max(0.02, (float(np.mean(said)) + specificity - 1) / youden))
        hit, alarm = true * sensitivity, (1 - true) * (1 - specificity)
        yes, no = hit / (hit + alarm), (true - hit) / (1 - hit - alarm)
        known = {1.0: np.array([1 - yes, yes]), 0.0: np.array([1 - no, no])}
    return lambda score: known.get(-1.0 if score is None else score, unknown)


def variance(truth: Floats) -> float:
    """Return the variance of a score, from 0 to 1, with these probabilities of the outcomes."""
    worth = np.linspace(0, 1, len(truth))
    return float(truth @ worth**2 - (truth @ worth) ** 2)
