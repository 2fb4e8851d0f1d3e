"""Tests of mixmerge.searching.loop: budgets, journals, looks, and what cannot be decided."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.errors import ModelError, SampleError, SpecError
from mixmerge.evaluation.journal import Journal
from mixmerge.searching.loop import Loop, volumes
from mixmerge.searching.objective import Measured, Price
from mixmerge.searching.space import Candidate, Space
from mixmerge.searching.strategies import STRATEGIES
from mixmerge.study.search_spec import SearchSpec

Truth = Callable[[float], tuple[float, float]]


def trade_off(weight: float) -> tuple[float, float]:
    """Two goals of which one falls as the other rises."""
    return weight, 1 - weight**2


class Toy:
    """An objective that knows the truth of a weight, with two looks."""

    goals = ("good", "safe")
    reference = (0.0, 0.0)

    def __init__(self, truth: Truth = trade_off, limit: float | None = None) -> None:
        self.truth, self.limit = truth, limit
        self.asked: list[tuple[str, int]] = []

    @property
    def constraints(self) -> Sequence[str]:
        return () if self.limit is None else ("good >= limit",)

    def prices(self) -> list[Price]:
        return [Price(10, 5), Price(30, 15)]

    def ask(self, candidate: Candidate, look: int) -> Mapping[str, Any]:
        self.asked.append((candidate.key, look))
        weight = candidate.merge.models["a"]["weight"]
        assert isinstance(weight, float)
        return {"values": self.truth(weight), "answers": 10 if look == 0 else 30, "judge_calls": 5}

    def measure(self, evidence: Sequence[Mapping[str, Any]]) -> Measured:
        values = tuple(evidence[-1]["values"])
        variances = (0.01 / len(evidence),) * 2
        if self.limit is None:
            return Measured(values, variances)
        return Measured(values, variances, (values[0] - self.limit,), variances[:1])


def loop(objective: Toy, journal: Any = None, *, seed: int = 0, **own: Any) -> Loop:
    """A search of two models by random weights, or as asked."""
    usual = {"models": ["a", "b"], "strategy": "random", "budget": {"candidates": 8}}
    spec = SearchSpec.model_validate(usual | own)
    return Loop(
        Space(spec), objective, STRATEGIES[spec.strategy], {} if journal is None else journal,
        seed=seed,
    )  # fmt: skip


def test_a_search_ends_with_its_candidates() -> None:
    """As many candidates are asked as the budget has, all different."""
    trials = loop(Toy(), budget={"candidates": 10}).run()
    assert [trial.number for trial in trials] == list(range(1, 11))
    assert len({trial.candidate.key for trial in trials}) == 10


@pytest.mark.parametrize("budget", [{"answers": 120}, {"judge_calls": 60}])
def test_a_search_stays_within_answers_and_judge_calls(budget: dict[str, int]) -> None:
    """Neither first nor second looks exceed the budget, and what is left is less than one look."""
    done = loop(Toy(), budget=budget, batch=2)
    done.run()
    assert 110 < done.spent.answers <= 120 or 55 < done.spent.judge_calls <= 60


def test_a_search_stops_before_it_spends_too_many_dollars() -> None:
    """A look is not taken if one as dear as the dearest so far would exceed the budget."""

    class Paid(Toy):
        def ask(self, candidate: Candidate, look: int) -> Mapping[str, Any]:
            return {**super().ask(candidate, look), "dollars": 0.3}

    done = loop(Paid(), budget={"dollars": 2.0}, batch=1)
    done.run()
    assert 1.4 < done.spent.dollars <= 2.0


def test_only_the_promising_get_a_second_look() -> None:
    """A candidate that is worse on both goals is screened only; those on the front are not."""

    def two(weight: float) -> tuple[float, float]:
        return (0.0, 0.0) if weight < 0.5 else (weight, 1.5 - weight)

    trials = loop(Toy(two), budget={"candidates": 16}).run()
    looks = {trial.candidate.point.cube[0] >= 0.5: len(trial.evidence) for trial in trials}
    assert looks == {True: 2, False: 1}


def test_constraints_decide_who_is_promising() -> None:
    """Candidates that break a constraint are not asked again while others keep it."""
    trials = loop(Toy(limit=0.4), budget={"candidates": 16}).run()
    for trial in trials:
        assert trial.measured is not None
        assert len(trial.evidence) == 1 or trial.measured.is_kept
    assert volumes(trials, (0.0, 0.0)) == sorted(volumes(trials, (0.0, 0.0)))


def test_the_volume_is_that_of_the_kept() -> None:
    """The hypervolume of the only candidate that keeps the constraint is its rectangle."""
    trials = loop(Toy(limit=0.9), budget={"candidates": 12}, strategy="grid", steps=11).run()
    kept = [trial for trial in trials if trial.measured and trial.measured.is_kept]
    assert [trial.candidate.point.cube for trial in kept] == [(0.9,), (1.0,)]
    assert volumes(trials, (0.0, 0.0))[-1] == pytest.approx(0.9 * (1 - 0.81))


def test_an_interrupted_search_ends_alike(tmp_path: Path) -> None:
    """However often it is killed, between looks or within one, the journal gets the same lines."""
    whole: dict[str, Any] = {}
    expected = loop(Toy(), whole).run()

    class Mortal(Toy):
        def ask(self, candidate: Candidate, look: int) -> Mapping[str, Any]:
            if len(self.asked) == 3:
                raise KeyboardInterrupt
            return super().ask(candidate, look)

    path, killed = tmp_path / "journal", 0
    while True:
        with Journal(path) as journal:
            try:
                trials = loop(Mortal(), journal).run()
                break
            except KeyboardInterrupt:
                killed += 1
    assert killed > 2
    assert [t.candidate.key for t in trials] == [t.candidate.key for t in expected]
    assert [t.measured for t in trials] == [t.measured for t in expected]
    with Journal(path) as journal:
        assert list(journal) == list(whole)


def test_a_larger_budget_goes_on() -> None:
    """What a smaller budget has asked is asked by none of the runs that follow."""
    journal: dict[str, Any] = {}
    first, second = Toy(), Toy()
    loop(first, journal, budget={"candidates": 4}).run()
    trials = loop(second, journal, budget={"candidates": 8}).run()
    assert len(trials) == 8
    assert not {*first.asked} & {*second.asked}


def test_another_seed_is_another_search() -> None:
    """The seed decides the candidates, and nothing else does."""
    keys = [[t.candidate.key for t in loop(Toy(), seed=seed).run()] for seed in (0, 0, 1)]
    assert keys[0] == keys[1]
    assert not {*keys[0]} & {*keys[2]}


def test_a_grid_ends_with_its_last_point() -> None:
    """With a larger budget the search ends by itself and says so."""
    done = loop(Toy(), strategy="grid", steps=4, budget={"candidates": 99})
    assert [t.candidate.point.cube[0] for t in done.run()] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert done.notes == ["There are no more candidates than these."]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (
            {"strategy": "grid", "steps": 9, "budget": {"candidates": 8}},
            r"search.budget.candidates: `grid` needs at least 9 .*\(seen: 8\)",
        ),
        (
            {"strategy": "grid", "steps": 9, "budget": {"answers": 80}},
            r"search.budget.answers: `grid` needs at least 90 .*\(seen: 80\)",
        ),
        (
            {"strategy": "grid", "steps": 9, "budget": {"judge_calls": 44}},
            r"search.budget.judge_calls: `grid` needs at least 45 .*\(seen: 44\)",
        ),
    ],
)
def test_a_budget_below_the_start_is_refused(own: dict[str, Any], message: str) -> None:
    """The message has the number that is needed, and nothing was asked."""
    asked = Toy()
    with pytest.raises(SpecError, match=message):
        loop(asked, **own)
    assert not asked.asked


def test_candidates_that_are_all_equal_are_no_choice() -> None:
    """Equal values on every goal end the search after its start, with the values."""
    with pytest.raises(SampleError, match=r"all .* candidates have the same values \(good 0.5"):
        loop(Toy(lambda _: (0.5, 0.5)), budget={"candidates": 50}).run()


def test_a_constant_goal_does_not_stop_a_search() -> None:
    """One goal that never changes is left out of the choice; the other one is searched."""
    trials = loop(Toy(lambda weight: (weight, 0.5)), budget={"candidates": 6}).run()
    assert len(trials) == 6


def test_a_candidate_without_a_value_is_left_out() -> None:
    """NaN of one candidate is told of this one, and the others are searched."""

    def broken(weight: float) -> tuple[float, float]:
        return (math.nan, weight) if weight < 0.5 else trade_off(weight)

    trials = loop(Toy(broken), budget={"candidates": 12}).run()
    failed = [trial for trial in trials if trial.failed]
    assert 0 < len(failed) < 12
    assert {trial.failed for trial in failed} == {"has no value on good"}
    assert all((t.candidate.point.cube[0] < 0.5) == bool(t.failed) for t in trials)
    assert np.isfinite(volumes(trials, (0.0, 0.0))).all()


def test_a_search_without_any_value_says_why() -> None:
    """If no candidate has an estimate, the first one's reason is told at once."""
    with pytest.raises(SampleError, match=r"none of .*\. The first: has no value on safe"):
        loop(Toy(lambda weight: (weight, math.nan)), budget={"candidates": 50}).run()


def test_a_merge_that_cannot_be_made_counts_and_is_named() -> None:
    """A candidate that fails to merge uses up the budget of one, and its reason is kept."""

    class Picky(Toy):
        def ask(self, candidate: Candidate, look: int) -> Mapping[str, Any]:
            if candidate.point.cube[0] < 0.5:
                raise ModelError("the weights cancel.")
            return super().ask(candidate, look)

    trials = loop(Picky(), budget={"candidates": 12}).run()
    assert {t.failed for t in trials} == {"", "the weights cancel."}
