"""How wide a corrected interval a number of labels buys, and how many labels a width takes.

A corrected rate has the variance ``whole + sum of (W S)² / n (1 - n / N)``. The sum is over strata
with N prompts, n of them labelled, and ``whole`` remains if people label every answer, since the
interval is for more prompts like these, as a judge's own is. See `mixmerge.annotation.draw`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixmerge.annotation.draw import (
    LEAST_YOUDEN,
    JudgeRates,
    Stratum,
    allocate,
    scores_of,
    truth_given,
    variance,
)
from mixmerge.errors import SpecError
from mixmerge.evaluation.calibration.material import Material, numbered
from mixmerge.records import Axis
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.correction import FEWEST_INFORMATIVE


@dataclass(frozen=True)
class Draw:
    """Prompts to label of each stratum, and the rest of what decides the width."""

    strata: Sequence[Stratum]
    counts: Sequence[int]
    whole: dict[Axis, float]
    """Variance of the rate if every answer is labelled, by axis."""

    @property
    def answers(self) -> float:
        """Different answers to label."""
        return sum(n * each.cost for n, each in zip(self.counts, self.strata, strict=True))

    def half_width(self) -> dict[Axis, float | None]:
        """Return half the expected width of a corrected 95 % interval, by axis.

        None where too few labelled prompts are expected to differ from the rest for an interval.
        """
        return {axis: self._half_width(axis) for axis in self.whole}

    def _half_width(self, axis: Axis) -> float | None:
        total, labelled = self.whole[axis], 0.0
        outcomes: Floats = np.zeros(1)
        for each, n in zip(self.strata, self.counts, strict=True):
            if each.axis == axis:
                unseen = 1 - n / len(each.prompts)
                total += (each.share * each.deviation) ** 2 / n * unseen
                labelled, outcomes = labelled + n, outcomes + n * each.truth
        if labelled - outcomes.max() < FEWEST_INFORMATIVE:
            return None
        return 1.96 * math.sqrt(total)


def fewest(draw: Draw, half_width: float) -> float:
    """Return the fewest different answers to label for a half-width on every axis.

    Raises:
        SpecError: not even labels of all answers are enough.
    """

    def enough(labels: float | None) -> bool:
        try:
            found = Draw(draw.strata, allocate(draw.strata, labels), draw.whole).half_width()
        except SpecError:  # too few labels for any draw
            return False
        return all(each is not None and each <= half_width for each in found.values())

    every = Draw(draw.strata, allocate(draw.strata, None), draw.whole)
    if not enough(None):
        reached = ", ".join(f"{axis} {said(each)}" for axis, each in every.half_width().items())
        raise SpecError(
            f"--half-width {100 * half_width:g}: labels of all {every.answers:.0f} different "
            f"answers give {reached}. Allow more, or evaluate more prompts."
        )
    low, high = 0, math.ceil(every.answers)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def said(half_width: float | None) -> str:
    """Return a half-width in words."""
    return "no interval" if half_width is None else f"±{100 * half_width:.1f} points"


def whole_variance(material: Material, judged: JudgeRates) -> float:
    """Return the variance of a rate if people label every answer, averaged over models.

    Prompts of one source are alike. By how much follows from the judge's verdicts: at random
    errors, the covariance of two truths is that of the verdicts divided by J².
    """
    youden = max(LEAST_YOUDEN, judged.sensitivity + judged.specificity - 1)
    cluster = numbered([prompt.cluster for prompt in material.prompts])
    language = numbered([prompt.language for prompt in material.prompts])
    most = float(np.bincount(cluster).max())
    found = []
    for name in material.models:
        own = scores_of(material, name)
        expect = truth_given(list(own.values()), judged, material)
        truth = [expect(own.get(prompt.id)) for prompt in material.prompts]
        alone = variance(np.mean(truth, axis=0)) / len(truth)
        scores = np.array([own.get(prompt.id, np.nan) for prompt in material.prompts])
        if np.isnan(scores).any():  # without verdicts, say what is safe
            found.append(alone * most)
            continue
        sums = np.bincount(language, scores) / np.bincount(language)
        apart = scores - sums[language]
        together = np.bincount(cluster, apart)
        extra = (together @ together - apart @ apart) / len(scores) ** 2 / youden**2
        found.append(float(np.clip(alone + extra, alone, alone * most)))
    return float(np.mean(found))
