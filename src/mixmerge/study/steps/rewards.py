"""Rewards of a training: the judges of the study's axes, asked about answers made in training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mixmerge.errors import ResourceError
from mixmerge.evaluation.judges import of_people
from mixmerge.execution.step import Needs, Task
from mixmerge.records import Axis, Item, Judge, Verdict, score_of
from mixmerge.records.results import Better
from mixmerge.spec_model import unknown_name
from mixmerge.study.spec import Study
from mixmerge.study.steps.judge import JudgedAxis, judge_for, judge_threads, judged_axes
from mixmerge.training.rewards import Reward
from mixmerge.training.spec import TrainSpec


class RewardAxis(JudgedAxis):
    """An axis that rewards answers: its question, judge and direction."""

    better: Better


def weights_of(recipe: TrainSpec) -> dict[Axis, float]:
    """Return the weight of each axis in a recipe's reward; empty for objectives without rewards."""
    return dict(recipe.own.reward) if recipe.objective.rewarded else {}


def problems(study: Study, recipe: TrainSpec) -> Iterator[tuple[Axis, str]]:
    """Yield the axes of a recipe's reward that cannot reward, and why."""
    axes = study.evaluate.axes
    for axis in weights_of(recipe):
        if axis not in axes:
            yield axis, unknown_name(axis, "evaluate.axes", axes)
        elif axes[axis].measure.asks == "comparison":
            yield axis, (
                f"`{axis}` compares answers with the base model's, and a reward is a number for "
                "each answer alone: name an axis with the measure `rate` or `mean`."
            )
        elif of_people(axes[axis].judge):
            yield axis, f"people judge `{axis}`, and cannot be asked during a training."


def rewarding(
    study: Study, recipe: TrainSpec
) -> tuple[dict[Axis, Any], dict[str, Any], dict[str, str], Needs]:
    """Return the settings, placement, files and needs of the judges in a recipe's reward."""
    every = study.evaluate.axes
    axes = {axis: every[axis] for axis in sorted(weights_of(recipe))}
    asked = study.evaluate.model_copy(update={"axes": axes})
    settings, placement, files, needs = judged_axes(study, asked)
    with_direction = {axis: own | {"better": axes[axis].better} for axis, own in settings.items()}
    return with_direction, placement, files, needs


@dataclass(frozen=True)
class AxisReward:
    """Turns the verdicts on one axis into rewards."""

    axis: Axis
    asked: RewardAxis
    judge: Judge

    def of(self, items: Sequence[Item]) -> list[float]:
        """Return a share from 0 (worst) to 1 (best) for each answer, NaN without a verdict.

        Raises:
            ResourceError: every call to the judge failed.
            DataError: a prompt lacks what the judge compares with, or a grade is out of bounds.
        """
        measure = self.asked.measure
        by_prompt: dict[str, list[Verdict]] = {item.prompt.id: [] for item in items}
        for verdict in self.judge.judge(items, measure.question(self.axis)):
            by_prompt[verdict.prompt].append(verdict)
        failed = [each for own in by_prompt.values() for each in own if each.outcome == "error"]
        if failed and len(failed) == sum(map(len, by_prompt.values())):
            raise ResourceError(
                f"{self.axis}: all {len(failed)} judge calls on the answers of a step failed "
                f"({failed[0].reason}). Run the same command again: the training resumes from its "
                "last checkpoint, and only these calls are repeated."
            )
        shares = [score_of(by_prompt[item.prompt.id], measure.worth) for item in items]
        return shares if self.asked.better == "higher" else [1 - share for share in shares]


def reward_for(task: Task, axes: Mapping[Axis, RewardAxis]) -> Reward:
    """Return the reward of a training step; ``task.placement["reward"]`` is that of `rewarding`."""
    own = replace(task, placement=task.placement["reward"])
    journal = task.cache / "judge" / f"reward-{task.name}.jsonl"
    # Axes with the same judge share one object, so that a local model is loaded once.
    judges: dict[str, Judge] = {}
    for axis in axes:
        key = repr(own.placement["axes"][axis])
        judges[key] = judges.get(key) or judge_for(own, axis, journal)
    asked = [
        AxisReward(axis, spec, judges[repr(own.placement["axes"][axis])])
        for axis, spec in axes.items()
    ]

    def score(items: Sequence[Item]) -> dict[Axis, list[float]]:
        with judge_threads(own):
            return {each.axis: each.of(items) for each in asked}

    identity = {axis: spec.model_dump(mode="json") for axis, spec in axes.items()}
    return Reward(identity, score)
