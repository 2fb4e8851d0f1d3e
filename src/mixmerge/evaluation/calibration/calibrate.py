"""The trial of a study's judges, from labels to the judge card."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.calibration.correct import corrected
from mixmerge.evaluation.calibration.labels import Labels, read_labels
from mixmerge.evaluation.calibration.material import (
    Evidence,
    Material,
    drawn_prompts,
    evidence,
    labelled_by_rules,
)
from mixmerge.evaluation.calibration.measures import (
    accuracy,
    accuracy_by,
    alpha_of_labels,
    alpha_of_panel,
    coefficients,
    confusion_counts,
    length_slope,
    swap_consistency,
)
from mixmerge.evaluation.calibration.probes import run_probes
from mixmerge.evaluation.calibration.spec import CalibrateSpec
from mixmerge.evaluation.calibration.standing import Findings, standing
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Judge
from mixmerge.records.judge_card import AxisTrial, JudgeCard
from mixmerge.records.results import Contrast


def calibrate(
    spec: CalibrateSpec,
    materials: Sequence[Material],
    *,
    rules: Judge | None = None,
    folder: Path = Path(),
    contrasts: Sequence[Contrast] = (),
    seed: int = 0,
    draws: int = 10_000,
    progress: Progress = silent,
) -> JudgeCard:
    """Compare each axis's judge with labels and probe it.

    Where a judge has judged every prompt already, its rates and the contrasts are corrected for
    its errors too; where not, it is asked only about the labelled answers and the probes.

    Args:
        spec: where the labels come from, how many answers, how many probes.
        materials: one for each axis.
        rules: the exact rules, if they are the truth.
        folder: what a relative path of labels is relative to.
        contrasts: the study's comparisons, to be checked.
        seed: decides which prompts are labelled by rules and which answers are changed.
        draws: bootstrap samples.
        progress: hears of labels and probes.

    Raises:
        DataError: a label is wrong, or there is none on any axis.
        SpecError: the rules cannot be reached from here.
    """
    labels = _labels(spec, materials, rules, folder, seed)
    found: dict[Axis, Evidence] = {}
    trials: dict[Axis, AxisTrial] = {}
    for material in materials:
        if material.axis not in labels:
            continue
        seen = evidence(material, labels[material.axis], progress)
        if not seen.items:
            raise DataError(
                f"{material.axis}: no labelled answer has a majority among its labellers."
            )
        found[material.axis] = seen
        trials[material.axis] = _trial(
            seen, spec.probes, [seed, _number(material)], draws, progress
        )
    rates, checked = corrected(found, contrasts)
    return JudgeCard(
        seed=seed,
        questions=spec.questions,
        axes=trials,
        corrected=tuple(rates),
        contrasts=tuple(checked),
    )


def _labels(
    spec: CalibrateSpec,
    materials: Sequence[Material],
    rules: Judge | None,
    folder: Path,
    seed: int,
) -> Mapping[Axis, Labels]:
    if spec.labels is not None:
        prompts = {material.axis: material.prompts for material in materials}
        models = list(dict.fromkeys(name for m in materials for name in m.models))
        by_axis = {material.axis: material for material in materials}
        return read_labels(
            folder / spec.labels,
            prompts,
            models,
            lambda axis, model, prompt: by_axis[axis].texts(model, prompt),
        )
    if rules is None:
        raise SpecError("calibrate: this call cannot reach the testbed's rules; give `labels`.")
    return {
        material.axis: labelled_by_rules(
            material,
            rules,
            drawn_prompts(
                material.prompts, spec.questions, np.random.default_rng([seed, _number(material)])
            ),
        )
        for material in materials
    }


def _number(material: Material) -> int:
    order: list[Axis] = ["general", "safety", "over_refusal"]
    return order.index(material.axis)


def _trial(
    found: Evidence, probes: int, seed: Sequence[int], draws: int, progress: Progress
) -> AxisTrial:
    agreed = coefficients(found, draws, seed)
    seen = Findings(
        accuracy=accuracy(found),
        youden=agreed["youden"],
        alpha=agreed["alpha"],
        swap=swap_consistency(found),
        length_slope=length_slope(found),
        by_language=accuracy_by(found, lambda item: item.prompt.language),
        probes=run_probes(found, probes, np.random.default_rng(seed), progress),
    )
    grade, warnings = standing(found, seen)
    return AxisTrial(
        judge=found.material.judge.name,
        truth=found.labels.by,
        standing=grade,
        accuracy=seen.accuracy,
        confusion=confusion_counts(found),
        youden=seen.youden,
        kappa=agreed["kappa"],
        alpha=seen.alpha,
        alpha_of_labels=alpha_of_labels(found, draws, seed),
        alpha_of_panel=alpha_of_panel(found, draws, seed),
        swap=seen.swap,
        length_slope=seen.length_slope,
        by_language=seen.by_language,
        by_category=accuracy_by(found, lambda item: item.prompt.category),
        probes=seen.probes,
        warnings=warnings,
    )
