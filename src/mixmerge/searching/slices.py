"""The response of every axis to one number of a merge: slices of what a search has learnt."""

from collections.abc import Sequence
from importlib.util import find_spec
from statistics import NormalDist

import numpy as np

from mixmerge.records import Axis
from mixmerge.searching.models import StudyObjective
from mixmerge.searching.objective import Trial, constant_goals, kept_trials, measured_trials
from mixmerge.searching.result import Slice
from mixmerge.searching.space import Space
from mixmerge.stats.estimate import LEVEL
from mixmerge.stats.pareto import non_dominated

_POINTS = 41
_NORMAL = NormalDist().inv_cdf((1 + LEVEL) / 2)
_FEWEST = 4
"""Candidates, below which a curve would only show what was assumed."""


def slices_of(
    space: Space, objective: StudyObjective, trials: Sequence[Trial], names: dict[int, str]
) -> list[Slice]:
    """Return slices along every weight and parameter, through one merge by each method.

    That merge is the one with the largest sum of goals of those that are on the front, or else of
    all by its method. Empty without BoTorch, or with fewer than four candidates with an estimate.
    """
    told = measured_trials(trials)
    constant = constant_goals(told)
    goals = [place for place in range(len(objective.goals)) if place not in constant]
    if find_spec("botorch") is None or len(told) < _FEWEST or not goals:
        return []
    lines = [
        (own.candidate.point.method, names[own.number], line)
        for own in _through(space, trials)
        for line in space.lines(own.candidate, _POINTS)
    ]
    from mixmerge.searching.processes import predicted

    features = [each for _, _, line in lines for each in line.features]
    mean, error = predicted(told, goals, features)
    reach = _NORMAL * error
    found = []
    for column, goal in enumerate(goals):
        axis = objective.goals[goal]
        for number, (method, through, line) in enumerate(lines):
            rows = slice(number * _POINTS, (number + 1) * _POINTS)
            middle, half = mean[rows, column], reach[rows, column]
            ends = (_shown(objective, axis, middle + way * half) for way in (-1, 1))
            low, high = (np.sort(np.array([*ends]), axis=0)).tolist()
            found.append(
                Slice(
                    axis=axis, method=method, through=through, parameter=line.parameter,
                    at=list(line.values), mean=_shown(objective, axis, middle),
                    low=low, high=high,
                )
            )  # fmt: skip
    return found


def _through(space: Space, trials: Sequence[Trial]) -> list[Trial]:
    """Return the best trial of each method, front first."""
    kept = kept_trials(trials) or measured_trials(trials)
    values = np.array([trial.measured.values for trial in kept if trial.measured])
    front = non_dominated(values)
    found = []
    for method in space.methods:
        own = [n for n, trial in enumerate(kept) if trial.candidate.point.method == method]
        if own:
            best = max(own, key=lambda n: (bool(front[n]), float(values[n].sum())))
            found.append(kept[best])
    return found


def _shown(objective: StudyObjective, axis: Axis, shares: np.ndarray) -> list[float]:
    """Return shares where larger is better in the units of an axis, within its range."""
    spec = objective.axes[axis]
    own = np.clip(1 - shares if spec.better == "lower" else shares, 0, 1)
    return [spec.measure.of_share(float(share)) for share in own]
