"""Rewards of a training: the judges of the study's axes, asked about answers made in training."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixmerge.errors import DataError, ResourceError
from mixmerge.evaluation.judges import members, of_people
from mixmerge.evaluation.judges.endpoint import EndpointJudgeSpec
from mixmerge.evaluation.judges.python_tests import tests_of
from mixmerge.execution.step import Needs, Task
from mixmerge.records import (
    MISSING,
    Axis,
    Item,
    Judge,
    Response,
    TrainingPrompt,
    Verdict,
    score_of,
)
from mixmerge.records.results import Better
from mixmerge.spec_model import unknown_name
from mixmerge.study.spec import Study
from mixmerge.study.steps.judge import (
    JudgedAxis,
    judge_context,
    judge_for,
    judge_spec,
    judge_threads,
    judged_axes,
)
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
    axes = study.evaluate.judged
    for axis in weights_of(recipe):
        if axis in study.evaluate.scored:
            yield axis, "a harness or a log scores this axis, and no judge reads single answers."
        elif axis not in axes:
            yield axis, unknown_name(axis, "evaluate.axes", axes)
        elif axes[axis].measure.asks == "comparison":
            said = "compares answers with the base model's, and a reward is for each answer alone"
            yield axis, f"{said}: name an axis with the measure `rate` or `mean`."
        elif of_people(axes[axis].judge):
            yield axis, "people judge this axis, and cannot be asked during a training."


def rewarding(
    study: Study, recipe: TrainSpec
) -> tuple[dict[Axis, Any], dict[str, Any], dict[str, str], Needs]:
    """Return the settings, placement, files and needs of the judges in a recipe's reward."""
    every = study.evaluate.judged
    axes = {axis: every[axis] for axis in sorted(weights_of(recipe))}
    asked = study.evaluate.model_copy(update={"axes": axes})
    settings, placement, files, needs = judged_axes(study, asked)
    with_direction = {axis: own | {"better": axes[axis].better} for axis, own in settings.items()}
    return with_direction, placement, files, needs


@dataclass
class AxisReward:
    """Turns the verdicts on one axis into rewards."""

    axis: Axis
    asked: RewardAxis
    judge: Judge
    heard: bool = False
    """Whether the judge has given any verdict."""

    def of(self, items: Sequence[Item]) -> list[float]:
        """Return a share from 0 (worst) to 1 (best) for each answer, NaN without a verdict.

        Raises:
            ResourceError: every call to the judge failed.
            DataError: a prompt lacks what the judge compares with, a grade is out of bounds, or no
                reply so far has a verdict.
        """
        measure = self.asked.measure
        verdicts = self.judge.judge(items, measure.question(self.axis))
        self._require_some(verdicts)
        by_prompt: dict[str, list[Verdict]] = {item.prompt.id: [] for item in items}
        for verdict in verdicts:
            by_prompt[verdict.prompt].append(verdict)
        shares = [score_of(by_prompt[item.prompt.id], measure.worth) for item in items]
        return shares if self.asked.better == "higher" else [1 - share for share in shares]

    def _require_some(self, verdicts: Sequence[Verdict]) -> None:
        """Stop where going on would teach nothing: the judge is down, or cannot be understood."""
        seen = {verdict.outcome for verdict in verdicts}
        if seen == {"error"}:
            raise ResourceError(
                f"{self.axis}: all {len(verdicts)} judge calls on the answers of a step failed "
                f"({verdicts[0].reason}). Run the same command again: the training resumes from "
                "its last checkpoint, and calls that were made are not repeated."
            )
        self.heard = self.heard or not seen <= MISSING
        if not self.heard:
            first = verdicts[0].reason[:300]
            raise DataError(
                f"{self.axis}: no reply of the judge {self.judge.name} has a verdict "
                f"({len(verdicts)} answers). The first was {first!r}. Change the judge, its "
                "`rubric` or its limits."
            )


def reward_for(task: Task, axes: Mapping[Axis, RewardAxis]) -> Reward:
    """Return the reward of a training step; ``task.placement["reward"]`` is that of `rewarding`."""
    own = replace(task, placement=task.placement["reward"])
    # Each process has its own journal of calls: only one may write a file.
    rank = os.environ.get("RANK", "0")
    journal = task.cache / "judge" / f"reward-{task.name}-{rank}.jsonl"
    # Axes with the same judge share one object, so that a local model is loaded once.
    judges: dict[str, Judge] = {}
    asked = []
    for axis, spec in axes.items():
        key = repr(own.placement["axes"][axis])
        judges[key] = judges.get(key) or judge_for(own, axis, journal)
        asked.append(AxisReward(axis, spec, judges[key]))

    def score(items: Sequence[Item]) -> dict[Axis, list[float]]:
        with judge_threads(own):
            return {each.axis: each.of(items) for each in asked}

    identity = {axis: spec.model_dump(mode="json") for axis, spec in axes.items()}
    known = {"name": task.name, "folder": str(task.folder), "cache": str(task.cache)}
    arguments = known | {"axes": identity, "placement": {"reward": own.placement}}
    return Reward(identity, score, f"{__name__}:from_arguments", arguments)


def check_rows(task: Task, axes: Mapping[Axis, RewardAxis], rows: Sequence[TrainingPrompt]) -> None:
    """Let judges without cost see every row, before a training reaches it after hours.

    Raises:
        DataError: a row lacks what a judge needs, such as accepted answers or tests.
    """
    own = replace(task, placement=task.placement["reward"])
    unanswered = [
        Item(prompt, Response(prompt=prompt.id, text="", finish_reason="stop", tokens=0))
        for prompt in (row.as_prompt() for row in rows)
    ]
    for axis, asked in axes.items():
        for judge in members(judge_spec(own, axis)):
            if judge.runs_code:
                for item in unanswered:
                    tests_of(item.prompt)
            elif not judge.loads_weights and not isinstance(judge, EndpointJudgeSpec):
                by = judge.build(judge_context(own, Path()))
                AxisReward(axis, asked, by).of(unanswered)


def from_arguments(told: dict[str, Any]) -> Reward:
    """Return what `reward_for` made in another process, from its ``arguments``."""
    axes = {axis: RewardAxis.model_validate(own) for axis, own in told["axes"].items()}
    folders = (Path(told["folder"]), Path(told["cache"]))
    return reward_for(Task("train", told["name"], {}, {}, {}, told["placement"], *folders), axes)
