"""Rates and contrasts corrected for the judge's errors, beside the raw ones."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mixmerge.errors import SampleError
from mixmerge.evaluation.calibration.labels import outcomes
from mixmerge.evaluation.calibration.material import Evidence, numbered
from mixmerge.evaluation.calibration.measures import measured
from mixmerge.evaluation.scores import ScoreTable, score_table
from mixmerge.records import Axis
from mixmerge.records.judge_card import CheckedContrast, CorrectedRate, Measured
from mixmerge.records.results import Contrast
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.correction import (
    FEWEST_INFORMATIVE,
    Labelled,
    informative_clusters,
    prediction_powered,
    rogan_gladen,
)
from mixmerge.stats.estimate import Estimate

NO_INTERVAL = (
    f"No interval: fewer than {FEWEST_INFORMATIVE} labelled source prompts differ from the rest"
)
ONE_LABEL = "No interval: a language has labels on only one source prompt"


class AxisCorrection:
    """Scores and labels of every model on one axis, one row for each prompt."""

    def __init__(self, found: Evidence) -> None:
        """Line up scores and labels.

        Args:
            found: labelled answers of models that the judge has judged on all prompts.
        """
        material = found.material
        verdicts = {name: material.verdicts[name] for name in material.models}
        self._axis: Axis = material.axis
        self._table: ScoreTable = score_table(material.axis, verdicts)
        rows = next(iter(verdicts.values()))
        place = {prompt: row for row, prompt in enumerate(dict.fromkeys(v.prompt for v in rows))}
        words = outcomes(material.axis)
        self._truth = {name: np.full(len(place), np.nan) for name in verdicts}
        for item in found.items:
            worth = words.index(item.truth) / (len(words) - 1)
            self._truth[item.model][place[item.prompt.id]] = worth
        self._scores = dict(self._table.scores)
        if material.axis == "general":
            # Against itself the base model ties by definition, for the judge and in truth.
            labelled = ~np.isnan(np.stack(list(self._truth.values()))).all(axis=0)
            self._scores[material.base] = np.full(len(place), 0.5)
            self._truth[material.base] = np.where(labelled, 0.5, np.nan)
        self._language = numbered(self._table.language.tolist())
        self._judged_models = list(verdicts)

    def rates(self) -> list[CorrectedRate]:
        """Return the corrected rate of every model that was judged."""
        return [self._rate(name) for name in self._judged_models]

    def check(self, contrast: Contrast) -> CheckedContrast:
        """Say whether a contrast stands when the judge's errors count."""
        corrected, note = None, ""
        try:
            found = prediction_powered(
                self._scores[contrast.a] - self._scores[contrast.b],
                self._truth[contrast.a] - self._truth[contrast.b],
                self._cluster,
                self._language,
                scale="difference",
            )
            corrected = measured(found)
            note = self._why_without(found, self._truth[contrast.a] - self._truth[contrast.b])
        except SampleError as error:
            note = str(error)
        verdict = _verdict(contrast.ci, corrected)
        return CheckedContrast(
            a=contrast.a,
            b=contrast.b,
            axis=contrast.axis,
            raw=contrast.difference,
            raw_ci=contrast.ci,
            corrected=corrected,
            verdict=verdict,
            note=_sentence(contrast, corrected) if verdict in {"unsure", "reversed"} else note,
        )

    @property
    def _cluster(self) -> NDArray[np.intp]:
        return self._table.cluster

    def _rate(self, name: str) -> CorrectedRate:
        scores, truth = self._scores[name], self._truth[name]
        ppi = rogan = None
        note = ""
        try:
            found = prediction_powered(scores, truth, self._cluster, self._language)
            ppi = measured(found)
            note = self._why_without(found, truth)
            if self._axis != "general":
                rogan = measured(rogan_gladen(scores, self._cluster, self._known()))
        except SampleError as error:
            note = str(error)
        return CorrectedRate(
            model=name,
            axis=self._axis,
            raw=None if np.isnan(scores).all() else float(np.nanmean(scores)),
            labelled=int((~np.isnan(truth)).sum()),
            ppi=ppi,
            rogan_gladen=rogan,
            note=note,
        )

    def _why_without(self, found: Estimate, truth: Floats) -> str:
        """Return why an estimate has no interval, and nothing where it has one."""
        if math.isfinite(found.low):
            return ""
        few = informative_clusters(truth, self._cluster) < FEWEST_INFORMATIVE
        return NO_INTERVAL if few else ONE_LABEL

    def _known(self) -> Labelled:
        """Return the labelled answers of all models: one judge, one sensitivity."""
        judged: list[Floats] = []
        truths: list[Floats] = []
        clusters: list[NDArray[np.intp]] = []
        for name in self._judged_models:
            known = ~np.isnan(self._truth[name])
            judged.append(self._scores[name][known])
            truths.append(self._truth[name][known])
            clusters.append(self._cluster[known])
        return Labelled(np.concatenate(judged), np.concatenate(truths), np.concatenate(clusters))


def corrected(
    evidence: Mapping[Axis, Evidence], contrasts: Sequence[Contrast]
) -> tuple[list[CorrectedRate], list[CheckedContrast]]:
    """Return all corrected rates and checked contrasts of the axes that are fully judged."""
    axes = {
        axis: AxisCorrection(found)
        for axis, found in evidence.items()
        if found.items and set(found.material.models) <= set(found.material.verdicts)
    }
    return (
        [rate for correction in axes.values() for rate in correction.rates()],
        [axes[contrast.axis].check(contrast) for contrast in contrasts if contrast.axis in axes],
    )


def _verdict(raw: tuple[float, float] | None, found: Measured | None) -> str:
    sign = _sign(raw)
    if sign == 0:
        return "unclear"
    if found is None or found.ci is None:
        return "unchecked"
    return {sign: "holds", 0: "unsure"}.get(_sign(found.ci), "reversed")


def _sign(ci: tuple[float, float] | None) -> int:
    """Return on which side of zero an interval lies; 0 for both."""
    return 0 if ci is None else (ci[0] > 0) - (ci[1] < 0)


def _sentence(contrast: Contrast, found: Measured | None) -> str:
    assert found is not None
    assert found.ci is not None
    what = "win rate" if contrast.axis == "general" else "harm rate"
    low, high = (100 * end for end in found.ci)
    return (
        f"{contrast.a} against {contrast.b}: by the judge the {what} changes by "
        f"{100 * contrast.difference:+.1f} points; corrected for the judge's errors by "
        f"{100 * found.value:+.1f} ({low:+.1f} to {high:+.1f}). "
        "This conclusion could be the judge's error."
    )
