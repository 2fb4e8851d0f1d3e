"""Bayesian optimisation: noisy expected hypervolume improvement over Gaussian processes.

A Sobol design comes first. Then every goal and constraint has a Gaussian process over weights,
parameters and methods, whose noise is not fitted: it is the clustered variance of each estimate,
known and unequal. A batch maximises qLogNEHVI (Daulton, Balandat and Bakshy 2021, arXiv:2105.08195;
Ament et al. 2023, arXiv:2310.20708), which counts what a candidate adds to the front as far as that
is known, given the batch so far, weighed by how likely it keeps the constraints.

The maximum is sought among many merges rather than by gradients: recipes have three digits, methods
are categories, and the same numbers come out on every run.
"""

import warnings
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from mixmerge.errors import ResourceError
from mixmerge.execution.environment import cpu_threads
from mixmerge.searching.objective import measured_trials
from mixmerge.searching.processes import fitted
from mixmerge.searching.space import Candidate, Point, Space
from mixmerge.searching.strategies.strategy import History
from mixmerge.stats.pareto import non_dominated

_SOBOL = 7
"""Logarithm of the points spread over the space for every batch, to the base 2."""
_NEAR = 8
"""Points near each trial on the front."""
_STEPS = (0.15, 0.04)
"""Standard deviations of their distance, in shares of each range."""
_SAMPLES = 64
"""Joint draws of the Gaussian processes, of which the improvement is the mean."""


class Bayes:
    """Sobol, then qLogNEHVI; see `Strategy`."""

    def needed(self, space: Space) -> int:
        """Return the size of the Sobol design: twice the number of dimensions and methods."""
        return 2 * (space.dimensions + len(space.methods))

    def check(self) -> None:
        """Check that BoTorch is installed.

        Raises:
            ResourceError: it is not.
        """
        try:
            import botorch  # noqa: F401
        except ImportError as error:
            raise ResourceError(
                "search.strategy: `bayes` needs BoTorch, which is not installed: "
                "pip install 'mixmerge[search]'. `random` and `grid` do without."
            ) from error

    def propose(self, history: History, count: int) -> list[Candidate]:
        """Return the rest of the Sobol design, or the batch that promises most."""
        start = self.needed(history.space) - len(history.trials)
        told = measured_trials(history.trials)
        if start > 0 or len(told) < 2 or not history.goals:
            return _sobol_start(history, min(count, start) if start > 0 else count)
        pool = _pool(history)
        if not pool:
            return []
        # One thread: sums in another order would give other numbers.
        with cpu_threads(1), warnings.catch_warnings():
            # BoTorch warns of inputs and of fits that are usual here, e.g. few or equal values.
            warnings.simplefilter("ignore")
            return _best(history, pool, min(count, len(pool)))


def _sobol(space: Space, log2: int, seed: Sequence[int]) -> list[Point]:
    from scipy.stats.qmc import Sobol

    cubes = Sobol(max(1, space.dimensions), rng=np.random.default_rng(seed)).random_base2(log2)
    methods = space.methods
    return [
        space.point(methods[number % len(methods)], cube[: space.dimensions])
        for number, cube in enumerate(cubes.tolist())
    ]


def _sobol_start(history: History, count: int) -> list[Candidate]:
    points = _sobol(history.space, _SOBOL, [history.seed])
    return list(islice(history.space.distinct(points, history.known), count))


def _pool(history: History) -> list[Candidate]:
    """Return the merges among which the batch is chosen."""
    space, told = history.space, measured_trials(history.trials)
    points = [
        space.point(method, point.cube)
        for point in _sobol(space, _SOBOL, [history.seed, history.batch])
        for method in space.methods
    ]
    values = np.array([trial.measured.values for trial in told if trial.measured])
    best = np.flatnonzero(non_dominated(values[:, list(history.goals)]))
    rng = np.random.default_rng([history.seed, history.batch, 1])
    for place in best:
        own = told[int(place)].candidate.point
        points += [space.point(method, own.cube) for method in space.methods]
        for step in _STEPS:
            moved = own.cube + step * rng.standard_normal((_NEAR, space.dimensions))
            points += [space.point(own.method, cube) for cube in np.clip(moved, 0, 1).tolist()]
    return list(space.distinct(points, history.known))


def _best(history: History, pool: Sequence[Candidate], count: int) -> list[Candidate]:
    import torch

    inputs = torch.tensor([candidate.features for candidate in pool], dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(history.seed)
        gain = _acquisition(history)
        chosen: list[int] = []
        for _ in range(count):
            with torch.no_grad():
                gains = torch.cat([gain(part[:, None, :]) for part in torch.split(inputs, 256)])
            gains[chosen] = -torch.inf
            chosen.append(int(gains.argmax()))
            gain.set_X_pending(inputs[chosen])
    return [pool[place] for place in chosen]


def _acquisition(history: History) -> Any:
    """Return the improvement that a candidate promises, as a function of its features."""
    import torch
    from botorch.acquisition.logei import qLogNoisyExpectedImprovement
    from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
    from botorch.acquisition.multi_objective.objective import IdentityMCMultiOutputObjective
    from botorch.acquisition.objective import GenericMCObjective
    from botorch.sampling.normal import SobolQMCNormalSampler

    told = [(t.candidate.features, t.measured) for t in history.trials if t.measured is not None]
    known = torch.tensor([features for features, _ in told], dtype=torch.float64)
    goals = list(history.goals)
    columns = [([m.values[g] for _, m in told], [m.variances[g] for _, m in told]) for g in goals]
    columns += [
        ([m.slacks[c] for _, m in told], [m.slack_variances[c] for _, m in told])
        for c in range(len(told[0][1].slacks))
    ]
    common: dict[str, Any] = {
        "model": fitted(known, columns),
        "X_baseline": known,
        "sampler": SobolQMCNormalSampler(torch.Size([_SAMPLES]), seed=history.seed),
        # BoTorch's constraints are kept below zero.
        "constraints": [
            lambda y, c=place: -y[..., c] for place in range(len(goals), len(columns))
        ] or None,
        "prune_baseline": True,
    }  # fmt: skip
    if len(goals) == 1:
        only = GenericMCObjective(lambda y, X=None: y[..., 0])  # noqa: ARG005, N803
        return qLogNoisyExpectedImprovement(objective=only, **common)
    return qLogNoisyExpectedHypervolumeImprovement(
        ref_point=[history.reference[goal] for goal in goals],
        objective=IdentityMCMultiOutputObjective(outcomes=list(range(len(goals)))),
        **common,
    )


STRATEGY = Bayes()
