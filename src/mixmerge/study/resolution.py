"""What differences a study of this size can detect, before anything is paid for."""

from collections.abc import Iterator, Mapping, Sequence

from mixmerge.evaluation.spec import AnyAxis
from mixmerge.execution.plan import Planned
from mixmerge.records import Axis, Prompt
from mixmerge.stats.estimate import MIN_CLUSTERS, MIN_VALUES
from mixmerge.stats.power import smallest_difference
from mixmerge.study.arms import answers
from mixmerge.study.spec import BASE, Study
from mixmerge.study.steps.harness import scored_name
from mixmerge.study.steps.prompts import Prompts
from mixmerge.study.steps.score import Score

DISCORDANT = 0.3
"""Assumed share of prompts on which two models differ, until there are answers."""


def decides(
    study: Study, planned: Mapping[str, Planned], prompts: Mapping[str, Sequence[Prompt]]
) -> list[str]:
    """Return the difference that each deciding axis can detect, a sentence each.

    Args:
        study: the study.
        planned: all steps; finished prompt steps give the number of prompts.
        prompts: prompts that are known before their step has run, by the step's id.
    """
    pairs = comparisons(study)
    said = []
    for axis in study.evaluate.deciding:
        size = prompt_counts(_counted(study, axis), planned, prompts)
        if size is None:
            said.append(f"{axis}: not known until its prompts are here.")
        else:
            said.append(f"{axis}: {_sentence(study.evaluate.axes[axis], *size, pairs)}")
    return said


def decides_if(study: Study) -> str:
    """Return the assumptions of `decides`."""
    pairs = comparisons(study)
    return (
        f"What it can decide, if two models differ on {DISCORDANT:.0%} of the prompts "
        f"({pairs} comparison{'s' * (pairs != 1)}, adjusted):"
    )


def comparisons(study: Study) -> int:
    """Return the number of primary comparisons, over which Holm's method adjusts."""
    return len(answers(study)) or len(study.checkpoints)


def too_few(
    study: Study, planned: Mapping[str, Planned], prompts: Mapping[str, Sequence[Prompt]]
) -> Iterator[tuple[str, int]]:
    """Yield the deciding axes with too few prompts for any interval, and their number."""
    for axis in study.evaluate.deciding:
        size = prompt_counts(_counted(study, axis), planned, prompts)
        if size is not None and (size[0] < MIN_VALUES or size[1] < MIN_CLUSTERS):
            yield axis, size[0]


def _counted(study: Study, axis: Axis) -> str:
    """Return the step that counts the prompts of an axis."""
    scored = axis in study.evaluate.scored
    return f"{Score.kind}/{scored_name(BASE, axis)}" if scored else f"{Prompts.kind}/{axis}"


def prompt_counts(
    step: str, planned: Mapping[str, Planned], prompts: Mapping[str, Sequence[Prompt]]
) -> tuple[int, int] | None:
    """Return the numbers of prompts and of clusters of a step; None if not known yet.

    ``prompts`` holds prompts by step that are known though their step has not run.
    """
    if step in prompts:
        return len(prompts[step]), len({prompt.cluster for prompt in prompts[step]})
    record = planned[step].record if step in planned else None
    if record is None:
        return None
    return int(record["facts"]["rows"]), int(record["facts"]["clusters"])


def _sentence(spec: AnyAxis, rows: int, clusters: int, pairs: int) -> str:
    asked = f"{rows:,} prompts" + (f" ({clusters:,} independent)" if clusters < rows else "")
    if rows < MIN_VALUES or clusters < MIN_CLUSTERS:
        return f"{asked} decide nothing; {MIN_VALUES} are required."
    found = smallest_difference(clusters, DISCORDANT, pairs)
    low, high = spec.measure.range
    unit = "points" if (low, high) == (0, 1) else f"on its scale from {low:g} to {high:g}"
    shown = f"{100 * found:.0f}" if unit == "points" else f"{found * (high - low):.2g}"
    if found >= DISCORDANT:
        return f"{asked} can show no difference below {shown} {unit}."
    return f"{asked} show a difference of {shown} {unit} or more in 4 of 5 studies."
