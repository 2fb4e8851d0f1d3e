"""Tests of mixmerge.searching.strategies: known fronts, and what is missing here."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from mixmerge.errors import ResourceError
from mixmerge.searching.loop import Loop
from mixmerge.searching.objective import Measured, Price
from mixmerge.searching.space import Candidate, Space
from mixmerge.searching.strategies import STRATEGIES
from mixmerge.stats.pareto import hypervolume
from mixmerge.study.search_spec import SearchSpec

ERROR = 0.03


class Peaks:
    """Two goals with one peak each, at different weights and scales, measured with known noise."""

    goals = ("a", "b")
    constraints = ()
    reference = (0.0, 0.0)

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def prices(self) -> list[Price]:
        return [Price(10)]

    def truth(self, candidate: Candidate) -> tuple[float, float]:
        weights = [own["weight"] for own in candidate.merge.models.values()]
        x, y, scale = weights[0], weights[1], candidate.merge.parameters["lambda"]
        assert isinstance(x, float)
        assert isinstance(y, float)
        assert isinstance(scale, float)
        first = np.exp(-8 * ((x - 0.8) ** 2 + (scale - 1.2) ** 2))
        return float(first), float(np.exp(-8 * ((y - 0.7) ** 2 + (scale - 0.8) ** 2)))

    def ask(self, candidate: Candidate, look: int) -> Mapping[str, Any]:
        noise = ERROR * self._rng.standard_normal(2)
        return {"values": (np.array(self.truth(candidate)) + noise).tolist()}

    def measure(self, evidence: Sequence[Mapping[str, Any]]) -> Measured:
        return Measured(tuple(evidence[0]["values"]), (ERROR**2,) * 2)


def searched(strategy: str, seed: int, candidates: int, objective: Peaks) -> list[Candidate]:
    """Return the candidates of a search."""
    spec = SearchSpec.model_validate(
        {
            "models": ["x", "y", "z"],
            "methods": ["task_arithmetic", "ties"],
            "parameters": {"lambda": [0.2, 2.0]},
            "strategy": strategy,
            "budget": {"candidates": candidates},
        }
    )
    loop = Loop(Space(spec), objective, STRATEGIES[strategy], {}, seed=seed)
    return [trial.candidate for trial in loop.run()]


def volume(strategy: str, seed: int, candidates: int) -> float:
    """Return the true hypervolume of what a search has asked."""
    objective = Peaks(seed)
    asked = searched(strategy, seed, candidates, objective)
    return float(hypervolume(np.array([objective.truth(each) for each in asked]), (0.0, 0.0)))


@pytest.mark.slow
def test_bayes_beats_random_on_a_known_front() -> None:
    """The median volume of three seeds is larger than that of random search with thrice as many."""
    pytest.importorskip("botorch")
    bayes = [volume("bayes", seed, 24) for seed in range(3)]
    random = [volume("random", seed, 72) for seed in range(9)]
    assert np.median(bayes) > np.median(random)


@pytest.mark.slow
def test_bayes_is_deterministic() -> None:
    """Two searches with one seed ask the same candidates in the same order."""
    pytest.importorskip("botorch")
    first, second = (searched("bayes", 1, 16, Peaks(1)) for _ in range(2))
    assert [each.key for each in first] == [each.key for each in second]


def test_a_missing_botorch_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, `bayes` says how to get it and what does without, and the others run."""
    monkeypatch.setitem(sys.modules, "botorch", None)
    with pytest.raises(ResourceError, match=r"pip install 'mixmerge\[search\]'.*`random`"):
        searched("bayes", 0, 12, Peaks(0))
    assert len(searched("random", 0, 12, Peaks(0))) == 12
    assert len(searched("grid", 0, 300, Peaks(0))) > 100


def test_random_search_tries_all_methods() -> None:
    """Every method gets candidates, and all coordinates are within the space."""
    found = searched("random", 0, 40, Peaks(0))
    assert {each.merge.method for each in found} == {"task_arithmetic", "ties"}
    assert all(0 <= x <= 1 for each in found for x in each.point.cube)
