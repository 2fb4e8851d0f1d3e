"""The front of a search: who is on it, and how sure that is on items that chose nobody."""

from collections.abc import Sequence

import numpy as np

from mixmerge.searching.objective import Trial, draws, kept_trials, measured_trials
from mixmerge.stats.estimate import LEVEL
from mixmerge.stats.intervals import ClusterMean
from mixmerge.stats.pareto import hypervolume, probability_non_dominated
from mixmerge.stats.proportions import clustered_wilson

_DRAWS = 256
_LEAST_GAIN = 0.005
"""Share of the front's volume that one more member must add."""


def on_front(trials: Sequence[Trial], seed: int) -> dict[int, float]:
    """Return the probability that each trial is on the front, by number.

    It is among the trials that keep the constraints, on the prompts of the search.
    """
    kept = kept_trials(trials)
    if not kept:
        return {}
    share = probability_non_dominated(draws(kept, 8 * _DRAWS, [seed, len(trials)]))
    return {trial.number: float(own) for trial, own in zip(kept, share, strict=True)}


def choose_members(
    trials: Sequence[Trial], reference: Sequence[float], most: int, seed: int
) -> list[Trial]:
    """Choose the trials whose front is expected to be largest, at most so many.

    One after the other, each adds the most volume on average over the plausible values of all.
    Candidates with the most looks count, because a lucky first look must not win. Without any that
    keeps the constraints, the one nearest to them is the only member.
    """
    kept = kept_trials(trials)
    if not kept:
        return [nearest(trials)]
    looks = max(len(trial.evidence) for trial in kept)
    pool = [trial for trial in kept if len(trial.evidence) == looks]
    drawn, chosen, volume = draws(pool, _DRAWS, [seed, len(trials), 1]), list[int](), 0.0
    while len(chosen) < min(most, len(pool)):
        volumes = [
            -1.0 if place in chosen
            else float(hypervolume(drawn[:, [*chosen, place]], reference).mean())
            for place in range(len(pool))
        ]  # fmt: skip
        best = int(np.argmax(volumes))
        if chosen and volumes[best] - volume <= _LEAST_GAIN * volume:
            break
        chosen.append(best)
        volume = volumes[best]
    return [pool[place] for place in chosen]


def nearest(trials: Sequence[Trial]) -> Trial:
    """Return the trial that misses its constraints by least."""

    def misses(trial: Trial) -> float:
        assert trial.measured is not None
        return sum(max(0.0, -slack) for slack in trial.measured.slacks)

    return min(measured_trials(trials), key=misses)


def simultaneous(mean: ClusterMean, variance: float, looks: int) -> tuple[float, float]:
    """Return an interval of a mean in [0, 1] such that so many cover together (Bonferroni).

    Where all values are 0 or all 1, the other end is exact (Clopper and Pearson 1934).
    """
    if 0 < mean.value < 1:
        return clustered_wilson(mean.value, variance, mean.effective, looks)
    far = 1 - ((1 - LEVEL) / 2 / looks) ** (1 / mean.effective)
    return (0.0, far) if mean.value <= 0 else (1 - far, 1.0)
