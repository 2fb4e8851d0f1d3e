"""Calibrate a study's judges against labels, and return the judge card."""

from collections.abc import Mapping, Sequence

import numpy as np

from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.calibration import measures
from mixmerge.evaluation.calibration.correct import corrected
from mixmerge.evaluation.calibration.labels import CalibrateSpec, Labels, read_labels, skipped_axes
from mixmerge.evaluation.calibration.material import Evidence, Material, evidence, labelled_by_rules
from mixmerge.evaluation.calibration.probes import run_probes
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Judge
from mixmerge.records.judge_card import AxisTrial, JudgeCard
from mixmerge.records.results import Contrast


def calibrate(
    spec: CalibrateSpec,
    materials: Sequence[Material],
    *,
    rules: Judge | None = None,
    contrasts: Sequence[Contrast] = (),
    seed: int = 0,
    progress: Progress = silent,
) -> JudgeCard:
    """Compare each axis's judge with labels and probe it; axes with grades are skipped.

    If a judge has judged every prompt, its rates and the contrasts are also corrected for its
    errors; otherwise it judges only the labelled answers and the probes. ``materials`` are in the
    order of the study, which seeds each axis. ``rules`` give the labels if the specification names
    no file.

    Raises:
        DataError: a label is invalid, or there is none on any axis.
        SpecError: the rules are not available here, or all axes have grades.
    """
    skipped = skipped_axes(material.question for material in materials)
    seeds = {material.axis: [seed, place] for place, material in enumerate(materials)}
    tried = [material for material in materials if material.axis not in skipped]
    labels: Mapping[Axis, Labels]
    if spec.labels is not None:
        labels = read_labels(spec.labels, materials, spec.drawn)
    elif rules is not None:
        labels = {
            material.axis: labelled_by_rules(
                material, rules, spec.questions, np.random.default_rng(seeds[material.axis])
            )
            for material in tried
        }
    else:
        raise SpecError("calibrate: the testbed's rules are not available here; give `labels`.")
    found: dict[Axis, Evidence] = {}
    trials: dict[Axis, AxisTrial] = {}
    for material in tried:
        axis = material.axis
        if axis not in labels:
            continue
        found[axis] = evidence(material, labels[axis], progress)
        if not found[axis].answers:
            raise DataError(f"{axis}: no labelled answer has a majority among its labellers.")
        trials[axis] = _trial(found[axis], spec.probes, seeds[axis], progress)
    rates, checked = corrected(found, contrasts)
    return JudgeCard(
        seed=seed,
        questions=spec.questions,
        axes=trials,
        skipped=skipped,
        corrected=tuple(rates),
        contrasts=tuple(checked),
    )


def _trial(found: Evidence, probes: int, seed: Sequence[int], progress: Progress) -> AxisTrial:
    agreed = measures.coefficients(found)
    return measures.assessed(
        AxisTrial(
            judge=found.material.judge.name,
            truth=found.labels.by,
            grade="usable",
            accuracy=measures.accuracy(found),
            confusion=measures.confusion_counts(found),
            youden=agreed["youden"],
            kappa=agreed["kappa"],
            alpha=agreed["alpha"],
            alpha_of_labels=measures.alpha_of_labels(found),
            alpha_of_panel=measures.alpha_of_panel(found),
            swap=measures.swap_consistency(found),
            length_slope=measures.length_slope(found),
            by_language=measures.accuracy_by(found, lambda answer: answer.prompt.language),
            by_category=measures.accuracy_by(found, lambda answer: answer.prompt.category),
            probes=run_probes(found, probes, np.random.default_rng(seed), progress),
        )
    )
