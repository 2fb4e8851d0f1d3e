"""Can the labels be trusted? Agreement, drift, and annotators who click through."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy.stats import binom

from mixmerge.annotation.labels import Collected, Judged
from mixmerge.evaluation.calibration.labels import Labels, decided
from mixmerge.evaluation.calibration.material import NO_VERDICT, Material, numbered
from mixmerge.evaluation.calibration.measures import alpha_for, coded, statistic
from mixmerge.records import Axis, Outcome, RowModel
from mixmerge.records.judge_card import Statistic
from mixmerge.stats import agreement

_LEAST_SECONDS, _SKIMMED = 1.0, 100.0
"""A label is too fast below one second plus one for every 100 characters, at most 20 seconds:
four times the speed at which people read."""
_MOST_FAST = 0.2
"""Share of too fast labels above which an annotator is named."""
_RARE = 0.001
"""Probability of a run of equal choices below which an annotator is named."""


class Agreement(RowModel):
    """How far annotators agree on some items."""

    axis: Axis
    part: str
    """``all``, a language, or two annotators."""
    items: int
    """Items with labels of at least two people."""
    raw: float
    """Share of pairs of labels that are equal."""
    alpha: Statistic | None
    """Krippendorff's."""
    kappa: float | None
    """Cohen's, of two annotators."""
    prevalence: float
    """Share of ``yes`` (or ``win``) among these labels: kappa depends on it."""


class AnnotatorQuality(RowModel):
    """One annotator's work."""

    name: str
    items: int
    cannot: dict[str, int]
    """Items that could not be judged, by reason."""
    checks: str
    """Attention checks passed, e.g. ``4 of 5``."""
    practice: str
    fast: float
    """Share of labels given faster than the text can be read."""
    median_seconds: float | None
    drift: Statistic | None
    """By how much agreement with the judge changes from the first label to the last."""
    warnings: tuple[str, ...]


class Disagreement(RowModel):
    """An answer on which annotators differ."""

    axis: Axis
    prompt: str
    language: str
    models: tuple[str, ...]
    said: dict[str, Outcome]
    majority: Outcome | None
    """What more than half of them said."""


def agreements(found: Collected, materials: Sequence[Material]) -> list[Agreement]:
    """Return the agreement on each axis: of all, by language, and of each pair of annotators.

    Adjudicators are left out: they see only the answers on which others differ.
    """
    made = []
    for material in materials:
        rated = _ratings(found, material.axis, adjudicators=False)
        several = {key: said for key, said in rated.items() if len(said) > 1}
        if not several:
            continue
        language = {prompt.id: prompt.language for prompt in material.prompts}
        made.append(_agreement(material, "all", several))
        spoken = sorted({language[prompt] for prompt, _ in several})
        for name in spoken if len(spoken) > 1 else ():
            part = {key: said for key, said in several.items() if language[key[0]] == name}
            made.append(_agreement(material, name, part))
        for pair in combinations(sorted(found.judged), 2):
            both = {
                key: {name: said[name] for name in pair}
                for key, said in several.items()
                if set(pair) <= said.keys()
            }
            if both:
                made.append(_agreement(material, " and ".join(pair), both))
    return made


def disagreements(found: Collected, materials: Sequence[Material]) -> Iterator[Disagreement]:
    """Yield the answers that annotators label differently."""
    for material in materials:
        rated = _ratings(found, material.axis)
        items = {
            (one.item.prompt, one.item.models[0]): one.item
            for one in found.items(axis=material.axis)
        }
        labels = Labels("", rated)
        for key, said in rated.items():
            if len(set(said.values())) > 1:
                item = items[key]
                yield Disagreement(
                    axis=item.axis,
                    prompt=item.prompt,
                    language=item.language,
                    models=item.models,
                    said=said,
                    majority=labels.truth(key),
                )


def annotators(found: Collected, materials: Sequence[Material]) -> list[AnnotatorQuality]:
    """Return what is known of each annotator's care."""
    verdicts = {
        (material.axis, model): decided(rows)
        for material in materials
        for model, rows in material.verdicts.items()
    }
    return [_annotator(name, found, verdicts) for name in found.judged]


Key = tuple[str, str]
"""A prompt, and the model whose answer it is (the first of those that gave the same one)."""


def _ratings(
    found: Collected, axis: Axis, *, adjudicators: bool = True
) -> dict[Key, dict[str, Outcome]]:
    rated: dict[Key, dict[str, Outcome]] = defaultdict(dict)
    for one in found.items(axis=axis):
        if one.outcome and (adjudicators or not one.item.adjudicates):
            rated[one.item.prompt, one.item.models[0]][one.item.annotator] = one.outcome
    return rated


def _agreement(
    material: Material, part: str, rated: Mapping[Key, Mapping[str, Outcome]]
) -> Agreement:
    outcomes = material.question.outcomes
    codes = coded(list(rated.values()), outcomes)
    cluster_of = {prompt.id: prompt.cluster for prompt in material.prompts}
    clusters = numbered([cluster_of[prompt] for prompt, _ in rated])
    size = len(outcomes)
    pairs = agreement.coincidences(codes, size)
    kappa = float("nan")
    if codes.shape[1] == 2:
        table = agreement.confusion(codes[:, 0], codes[:, 1], size).sum(axis=0)
        kappa = float(agreement.cohen_kappa(table))
    return Agreement(
        axis=material.axis,
        part=part,
        items=len(rated),
        raw=float(agreement.raw_agreement(pairs.sum(axis=0))),
        alpha=statistic(agreement.coefficient(pairs, clusters, alpha_for(size))),
        kappa=None if np.isnan(kappa) else kappa,
        prevalence=float((codes == size - 1).sum() / (codes != NO_VERDICT).sum()),
    )


Said = Mapping[tuple[Axis, str], Mapping[str, Outcome | None]]
"""The judge's outcomes, by axis and model and then by prompt."""


def _annotator(name: str, found: Collected, verdicts: Said) -> AnnotatorQuality:
    rows = found.judged[name]
    items = [one for one in rows if one.item.kind == "item"]
    checks, practice = (
        [one.label.choice == one.item.expected for one in rows if one.item.kind == kind]
        for kind in ("check", "practice")
    )
    timed = [(one, one.label.seconds) for one in items if one.label.seconds is not None]
    fast = [seconds < _readable(one) for one, seconds in timed]
    share = sum(fast) / len(fast) if fast else 0.0
    drift = _drift(found.items(name), verdicts)
    warnings = []
    if checks.count(False) > max(1, len(checks) // 4) or (checks and not any(checks)):
        warnings.append(f"failed {checks.count(False)} of {len(checks)} attention checks")
    if len(fast) >= 10 and share > _MOST_FAST:
        warnings.append(f"gave {share:.0%} of the labels faster than the texts can be read")
    warnings += _constant(name, found)
    if drift and drift.ci and (drift.ci[0] > 0 or drift.ci[1] < 0):
        warnings.append(
            f"agrees with the judge {100 * drift.value:+.0f} points more at the end than at first"
        )
    return AnnotatorQuality(
        name=name,
        items=len(items),
        cannot=Counter(one.label.reason or "no reason" for one in items if one.outcome is None),
        checks=f"{sum(checks)} of {len(checks)}",
        practice=f"{sum(practice)} of {len(practice)}",
        fast=share,
        median_seconds=float(np.median([seconds for _, seconds in timed])) if timed else None,
        drift=drift,
        warnings=tuple(warnings),
    )


def _readable(one: Judged) -> float:
    return _LEAST_SECONDS + min(20.0, sum(map(len, one.item.texts)) / _SKIMMED)


def _constant(name: str, found: Collected) -> Iterator[str]:
    """Yield what an annotator chooses far too often, on an axis or by the side of an answer.

    On an axis the other annotators' share is the probability of a choice; without others, 95 %.
    """
    axes = dict.fromkeys(one.item.axis for one in found.items(name))
    for axis in axes:
        own = [one.outcome for one in found.items(name, axis)]
        others = Counter(each.outcome for each in found.items(axis=axis))
        others.subtract(own)
        outcome, count = Counter(own).most_common(1)[0]
        share = (others[outcome] + 1) / (others.total() + 2) if others.total() else 0.95
        if count == len(own) >= 10 and share ** len(own) < _RARE:
            yield f"chose “{outcome}” for all {count} answers on {axis}"
    sides = [one.label.choice for one in found.items(name) if one.label.choice in ("a", "b")]
    most = max(sides.count("a"), sides.count("b"))
    if sides and 2 * binom.sf(most - 1, len(sides), 0.5) < _RARE:
        side = "A" if sides.count("a") == most else "B"
        yield f"chose answer {side} in {most} of {len(sides)} pairs, whose sides are random"


def _drift(items: Sequence[Judged], verdicts: Said) -> Statistic | None:
    """Return the slope of agreement with the judge over an annotator's labels, from 0 to 1."""
    if not items:
        return None
    said = [verdicts.get((one.item.axis, one.item.models[0]), {}) for one in items]
    agreed = [
        np.nan if (by := own.get(one.item.prompt)) is None else float(by == one.outcome)
        for one, own in zip(items, said, strict=True)
    ]
    place = np.array([one.place for one in items], dtype=np.float64)
    place /= max(1.0, place.max())
    clusters = numbered([one.item.prompt for one in items])
    return statistic(agreement.clustered_slope(place, np.array(agreed), clusters))
