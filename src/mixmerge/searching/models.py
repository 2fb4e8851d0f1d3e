"""The objective of a study: its merges, asked on the prompts of ``selection``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mixmerge.evaluation.measures import MeasuredAxis
from mixmerge.evaluation.spec import EvaluateSpec
from mixmerge.records import Axis, Prompt
from mixmerge.searching.asker import Asker, judge_calls
from mixmerge.searching.objective import Measured, Price
from mixmerge.searching.prompts import Looks
from mixmerge.searching.space import Candidate
from mixmerge.stats.bootstrap import Floats, cluster_totals
from mixmerge.stats.intervals import ClusterMean
from mixmerge.study.search_spec import LANGUAGES, Limit

Scores = Mapping[Axis, Sequence[float | None]]
"""By axis, in the order of the prompts of a look."""

Known = Mapping[Axis, Mapping[str, float | None]]
"""By axis and prompt."""

CANDIDATES = "candidates"
"""Folder of the candidates' answers and verdicts."""


@dataclass
class StudyObjective:
    """Asks candidates of a study; see `mixmerge.searching.objective.Objective`."""

    asker: Asker
    asked: Looks
    axes: Mapping[Axis, MeasuredAxis]
    """Those that decide or limit."""
    goals: tuple[Axis, ...]
    limits: Sequence[Limit]
    base: Known
    """The base model's scores, for `LANGUAGES`."""
    keeps_languages: bool
    experts: Mapping[str, Known]
    """The scores of each model alone."""
    folder: Path

    @property
    def constraints(self) -> tuple[str, ...]:
        """What a member of the front must keep, in words."""
        said = [f"{own.axis} {'<=' if own.at_most else '>='} {own.value:g}" for own in self.limits]
        return (*said, LANGUAGES) if self.keeps_languages else tuple(said)

    def prices(self) -> list[Price]:
        """Return the answers and judge calls of each look."""
        return prices(self.asker.evaluate, self.asked)

    @cached_property
    def reference(self) -> tuple[float, ...]:
        """Below the worst value that any model alone has: by a tenth of their distance or a margin.

        What is worse than every model alone on a goal, by more than that, adds nothing.
        """
        everyone = [self._all_looks(scores) for scores in self.experts.values()]
        found = []
        for goal in self.goals:
            values = [self._mean(goal, scores, len(self.asked)).value for scores in everyone]
            best, worst = max(values), min(values)
            info = self.axes[goal].info(primary=True)
            margin = info.margin / (info.bounds[1] - info.bounds[0])
            found.append(worst - max(0.1 * (best - worst), margin))
        return tuple(found)

    def ask(self, candidate: Candidate, look: int) -> Mapping[str, Any]:
        """Return a candidate's scores on the prompts of one look; see `Objective`."""
        before = self.asker.dollars()
        prompts = self.asked[look]
        folder = self.folder / CANDIDATES / f"{candidate.key}-{look}"
        verdicts = self.asker.verdicts(candidate, prompts, folder)
        scores = {axis: self.asker.scores(axis, rows) for axis, rows in verdicts.items()}
        price = self.prices()[look]
        return {
            "scores": scores,
            "answers": price.answers,
            "judge_calls": price.judge_calls,
            "dollars": self.asker.dollars() - before,
        }

    def measure(self, evidence: Sequence[Mapping[str, Any]]) -> Measured:
        """Estimate all goals and constraints, with clustered variances.

        Candidates answer the same prompts, so most of the error of a goal is common to all, and
        none of it matters for who is better. A goal is therefore the mean difference from what the
        models alone reach on the same prompts, plus what these reach on all prompts: its variance
        is of the differences, and one look and two looks compare. Constraints are of single values.
        """
        scores = [each["scores"] for each in evidence]
        goals = [self._difference(goal, scores) for goal in self.goals]
        kept = [self._slack(limit, scores) for limit in self.limits]
        if self.keeps_languages:
            kept.append(self._worst_language(scores))
        return Measured(
            values=tuple(value for value, _ in goals),
            variances=tuple(variance for _, variance in goals),
            slacks=tuple(slack for slack, _ in kept),
            slack_variances=tuple(variance for _, variance in kept),
        )

    def shown(self, evidence: Sequence[Mapping[str, Any]]) -> dict[Axis, tuple[float, float]]:
        """Return a candidate's value and standard error on each axis, in the axis's units."""
        scores = [each["scores"] for each in evidence]
        found = {}
        for axis, spec in self.axes.items():
            mean = self._mean(axis, scores, len(scores), signed=False)
            error = float(np.sqrt(variance_of(mean)))
            found[axis] = (spec.measure.of_share(mean.value), spec.measure.of_difference(error))
        return found

    def _all_looks(self, known: Known) -> list[Scores]:
        """Return scores on all prompts, look by look."""
        return [
            {axis: [known[axis][row.id] for row in rows] for axis, rows in look.items()}
            for look in self.asked
        ]

    def _rows(self, axis: Axis, looks: int) -> list[Prompt]:
        return [row for look in self.asked[:looks] for row in look[axis]]

    def _values(self, axis: Axis, scores: Sequence[Scores], *, signed: bool = True) -> Floats:
        """Return scores in order, NaN without one; if signed, such that higher is better."""
        every = [score for look in scores for score in look[axis]]
        values = np.array([np.nan if score is None else score for score in every])
        return 1 - values if signed and self.axes[axis].better == "lower" else values

    def _mean(
        self, axis: Axis, scores: Sequence[Scores], looks: int, *, signed: bool = True
    ) -> ClusterMean:
        return mean_of(self._values(axis, scores, signed=signed), self._rows(axis, looks))

    def _difference(self, goal: Axis, scores: Sequence[Scores]) -> tuple[float, float]:
        """Return a goal's value by its difference from the models alone, and the variance of it."""
        own, alone = self._values(goal, scores), self._alone[goal]
        mean = mean_of(own - alone[: len(own)], self._rows(goal, len(scores)))
        return mean.value + float(np.nanmean(alone)), variance_of(mean)

    @cached_property
    def _alone(self) -> dict[Axis, Floats]:
        """The mean value of the models alone on every prompt, look by look; NaN without one."""
        everyone = [self._all_looks(known) for known in self.experts.values()]
        return {
            goal: np.mean([self._values(goal, scores) for scores in everyone], axis=0)
            for goal in self.goals
        }

    def _slack(self, limit: Limit, scores: Sequence[Scores]) -> tuple[float, float]:
        spec = self.axes[limit.axis]
        low, high = spec.measure.range
        mean = self._mean(limit.axis, scores, len(scores), signed=False)
        over = mean.value - (limit.value - low) / (high - low)
        return (-over if limit.at_most else over), variance_of(mean)

    def _worst_language(self, scores: Sequence[Scores]) -> tuple[float, float]:
        """Return how far the worst language is above the base less the margin of its axis."""
        found = []
        for goal in self.goals:
            rows, info = self._rows(goal, len(scores)), self.axes[goal].info(primary=True)
            low, high = info.bounds
            base = self._all_looks(self.base)[: len(scores)]
            change = self._values(goal, scores) - self._values(goal, base)
            for language in dict.fromkeys(row.language for row in rows):
                here = np.array([row.language == language for row in rows])
                mean = mean_of(np.where(here, change, np.nan), rows)
                found.append((mean.value + info.margin / (high - low), variance_of(mean)))
        return min(found)


def prices(evaluate: EvaluateSpec, asked: Looks) -> list[Price]:
    """Return the answers and judge calls that each look at a candidate takes."""
    sources = dict.fromkeys(map(evaluate.answered, evaluate.judged))
    return [
        Price(
            answers=sum(len(look[axis]) for axis in sources),
            judge_calls=sum(judge_calls(evaluate, axis, len(rows)) for axis, rows in look.items()),
        )
        for look in asked
    ]


def mean_of(values: Floats, rows: Sequence[Prompt]) -> ClusterMean:
    """Return the mean of values of prompts, with clusters as units; NaN if there are none."""
    codes = {name: code for code, name in enumerate(dict.fromkeys(row.cluster for row in rows))}
    cluster = np.array([codes[row.cluster] for row in rows], dtype=np.intp)
    totals, sizes = cluster_totals(values[:, None], cluster, len(codes))
    if not sizes.any():
        return ClusterMean(float("nan"), np.full(len(codes), np.nan), 0, 0, 0.0)
    return ClusterMean.of(totals[:, 0], sizes[:, 0])


def variance_of(mean: ClusterMean) -> float:
    """Return the variance of a mean: clustered, and not below that of one answer that differs.

    Answers that are all alike have no variance, but the next one could be another.
    """
    return max(mean.variance, 1 / (mean.n + 2) ** 2)
