"""Rates and contrasts corrected for the judge's errors."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from mixmerge.errors import SampleError
from mixmerge.evaluation.calibration.material import Evidence, numbered
from mixmerge.evaluation.calibration.measures import statistic
from mixmerge.evaluation.scores import score_table
from mixmerge.records import Axis
from mixmerge.records.judge_card import CheckedContrast, CorrectedRate, Statistic
from mixmerge.records.results import Contrast, Interval
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.correction import Labelled, prediction_powered, rogan_gladen


class AxisCorrection:
    """Scores and labels of every model on one axis; the judge has judged all prompts."""

    def __init__(self, found: Evidence) -> None:
        self._material = material = found.material
        verdicts = {name: material.verdicts[name] for name in material.models}
        table = score_table(material.axis, verdicts, material.worth)
        place = {prompt: row for row, prompt in enumerate(table.prompts)}
        self._truth = {name: np.full(len(place), np.nan) for name in verdicts}
        for answer in found.answers:
            label = answer.verdicts[0].model_copy(update={"outcome": answer.truth})
            self._truth[answer.model][place[answer.prompt.id]] = material.worth(label)
        self._scores = dict(table.scores)
        if material.compares:
            # The base model ties with itself by definition.
            labelled = ~np.isnan(np.stack(list(self._truth.values()))).all(axis=0)
            self._scores[material.base] = np.full(len(place), 0.5)
            self._truth[material.base] = np.where(labelled, 0.5, np.nan)
        self._cluster = table.cluster
        strata, languages = found.labels.strata, table.language.tolist()
        drawn_in = [strata[prompt] for prompt in table.prompts] if strata else languages
        self._stratum, self._language = numbered(drawn_in), numbered(languages)
        keys = [(answer.model, answer.prompt.id) for answer in found.answers]
        weights = dict(zip(keys, found.weight, strict=True))
        self._weight = {
            name: np.array([weights.get((name, prompt), 1.0) for prompt in table.prompts])
            for name in verdicts
        }

    def check(self, contrast: Contrast) -> CheckedContrast:
        """Return whether a contrast remains after correction for the judge's errors."""
        scores = self._scores[contrast.a] - self._scores[contrast.b]
        truth = self._truth[contrast.a] - self._truth[contrast.b]
        found, note = self._prediction_powered(scores, truth, "difference")
        verdict = _verdict(contrast.ci, found)
        if found and found.ci and verdict in {"unsure", "reversed"}:
            note = _sentence(contrast, found.value, found.ci, self._material.info.phrase)
        return CheckedContrast(
            a=contrast.a,
            b=contrast.b,
            axis=contrast.axis,
            raw=contrast.difference,
            raw_ci=contrast.ci,
            corrected=found,
            verdict=verdict,
            note=note,
        )

    def rate(self, name: str) -> CorrectedRate:
        """Return the corrected rate of a model."""
        scores, truth = self._scores[name], self._truth[name]
        ppi, note = self._prediction_powered(scores, truth, "rate")
        rogan = None
        if ppi is not None and not self._material.compares:
            try:
                found = rogan_gladen(scores, self._cluster, self._known())
                rogan = statistic(found)
                if found and found.absent and not note:
                    note = f"No interval by Rogan and Gladen: {found.absent}"
            except SampleError as error:
                note = str(error)
        return CorrectedRate(
            model=name,
            axis=self._material.axis,
            raw=None if np.isnan(scores).all() else float(np.nanmean(scores)),
            labelled=int((~np.isnan(truth)).sum()),
            ppi=ppi,
            rogan_gladen=rogan,
            note=note,
        )

    def _prediction_powered(
        self, scores: Floats, truth: Floats, scale: Literal["rate", "difference"]
    ) -> tuple[Statistic | None, str]:
        """Return a corrected mean, and why it or its interval is missing."""
        try:
            found = prediction_powered(
                scores, truth, self._cluster, self._stratum, self._language, scale=scale
            )
        except SampleError as error:
            return None, str(error)
        return statistic(found), f"No interval: {found.absent}" if found.absent else ""

    def _known(self) -> Labelled:
        """Return the labelled answers of all models: the judge has one sensitivity for all."""
        scores = np.concatenate([self._scores[name] for name in self._truth])
        truth = np.concatenate(list(self._truth.values()))
        cluster = np.tile(self._cluster, len(self._truth))
        weight = np.concatenate(list(self._weight.values()))
        known = ~np.isnan(truth)
        return Labelled(scores[known], truth[known], cluster[known], weight[known])


def corrected(
    evidence: Mapping[Axis, Evidence], contrasts: Sequence[Contrast]
) -> tuple[list[CorrectedRate], list[CheckedContrast]]:
    """Return all corrected rates and checked contrasts of the axes that are fully judged."""
    axes = {
        axis: AxisCorrection(found)
        for axis, found in evidence.items()
        if set(found.material.models) <= set(found.material.verdicts)
    }
    return (
        [each.rate(name) for axis, each in axes.items() for name in evidence[axis].material.models],
        [axes[contrast.axis].check(contrast) for contrast in contrasts if contrast.axis in axes],
    )


def _verdict(raw: Interval | None, found: Statistic | None) -> str:
    sign = _sign(raw)
    if sign == 0:
        return "unclear"
    if found is None or found.ci is None:
        return "unchecked"
    return {sign: "holds", 0: "unsure"}.get(_sign(found.ci), "reversed")


def _sign(ci: Interval | None) -> int:
    """Return on which side of zero an interval lies; 0 if it contains zero."""
    return 0 if ci is None else (ci[0] > 0) - (ci[1] < 0)


def _sentence(contrast: Contrast, corrected: float, ci: Interval, phrase: str) -> str:
    return (
        f"{contrast.a} against {contrast.b}: by the judge {phrase} changes by "
        f"{100 * contrast.difference:+.1f} points; corrected for the judge's errors by "
        f"{100 * corrected:+.1f} ({100 * ci[0]:+.1f} to {100 * ci[1]:+.1f}). "
        "This conclusion could be the judge's error."
    )
