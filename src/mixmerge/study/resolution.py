"""What differences a study of this size can detect, before anything is paid for."""

from collections.abc import Iterator, Mapping, Sequence

from mixmerge.evaluation.measures import Measure
from mixmerge.evaluation.spec import AnyAxis
from mixmerge.execution.plan import Planned
from mixmerge.records import Axis, Prompt
from mixmerge.stats.estimate import MIN_CLUSTERS, MIN_VALUES
from mixmerge.stats.power import (
    CORRELATION,
    POWER,
    RATE,
    WITHIN,
    discordant,
    effective_size,
    smallest_difference,
)
from mixmerge.study.arms import answers
from mixmerge.study.spec import BASE, Study
from mixmerge.study.steps.harness import scored_name
from mixmerge.study.steps.prompts import Prompts
from mixmerge.study.steps.score import Score


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
        size = prompt_counts(counting_step(study, axis), planned, prompts)
        if size is None:
            said.append(f"{axis}: not known until its prompts are here.")
        else:
            said.append(f"{axis}: {_sentence(study.evaluate.axes[axis], *size, pairs)}")
    return said


def decides_if(study: Study) -> str:
    """Return the assumptions of `decides`."""
    tests = comparisons(study)
    return (
        f"At this size you can see, at {POWER:.0%} power ({tests} comparison{'s' * (tests != 1)}, "
        f"adjusted; assumed: rates of {RATE:.0%}, correlations of {CORRELATION:g} between models "
        f"and {WITHIN:g} within a source question; `--power` simulates it):"
    )


def comparisons(study: Study) -> int:
    """Return the number of primary comparisons, over which Holm's method adjusts.

    Each pair of models is compared on every deciding axis.
    """
    return len(study.evaluate.deciding) * (len(answers(study)) or len(study.checkpoints))


def too_few(
    study: Study, planned: Mapping[str, Planned], prompts: Mapping[str, Sequence[Prompt]]
) -> Iterator[tuple[str, int]]:
    """Yield the deciding axes with too few prompts for any interval, and their number."""
    for axis in study.evaluate.deciding:
        size = prompt_counts(counting_step(study, axis), planned, prompts)
        if size is not None and (size[0] < MIN_VALUES or size[1] < MIN_CLUSTERS):
            yield axis, size[0]


def counting_step(study: Study, axis: Axis) -> str:
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


def _sentence(spec: AnyAxis, rows: int, clusters: int, tests: int) -> str:
    asked = f"{rows:,} prompts" + (f", {clusters:,} independent," if clusters < rows else "")
    if rows < MIN_VALUES or clusters < MIN_CLUSTERS:
        return f"{asked} decide nothing; {MIN_VALUES} are required."
    differ = discordant()
    found = smallest_difference(effective_size(rows, clusters), differ, tests)
    shown = f"{in_points(found, spec.measure)} of {spec.measure.title}"
    if found >= differ:
        return f"no difference below {shown} ({asked.rstrip(',')})."
    return f"{shown} ({asked.rstrip(',')})."


def in_points(share: float, measure: Measure) -> str:
    """Return a difference of shares of a measure's range in its units, in words."""
    low, high = measure.range
    if measure.unit == "percent":
        return f"{100 * share:.1f} points"
    return f"{share * (high - low):.2g} (on {low:g} to {high:g})"
