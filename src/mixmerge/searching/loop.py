"""Ask, learn, ask again: the loop of a search, under a budget and with a journal.

The journal has every batch that was chosen and every look that was taken. After an interruption the
loop runs from the start again and finds there what was done, so it ends with the same bytes.
"""

import time
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mixmerge.errors import ModelError, SampleError, SpecError
from mixmerge.evaluation.journal import Journal
from mixmerge.progress import Progress, silent
from mixmerge.searching.objective import (
    Measured,
    Objective,
    Price,
    Trial,
    constant_goals,
    draws,
    kept_trials,
    measured_trials,
)
from mixmerge.searching.space import Candidate, Point, Space
from mixmerge.searching.strategies import Strategy
from mixmerge.searching.strategies.strategy import History
from mixmerge.stats.pareto import hypervolume, probability_non_dominated

_PROMISING = 0.2
"""Probability of being on the front from which a candidate gets its second look."""
_DRAWS = 2000


@dataclass
class Spent:
    """What a search has used, and why it ended."""

    candidates: int = 0
    answers: int = 0
    judge_calls: int = 0
    dollars: float = 0.0
    hours: float = 0.0
    dearest: dict[int, float] = field(default_factory=dict)
    """Dollars of the dearest look of each number."""

    def add(self, look: int, evidence: Mapping[str, Any]) -> None:
        """Count a look."""
        self.answers += evidence.get("answers", 0)
        self.judge_calls += evidence.get("judge_calls", 0)
        cost = evidence.get("dollars", 0.0)
        self.dollars += cost
        self.dearest[look] = max(cost, self.dearest.get(look, 0.0))
        self.hours += evidence.get("seconds", 0.0) / 3600


class Loop:
    """One search; `run` it."""

    def __init__(
        self,
        space: Space,
        objective: Objective,
        strategy: Strategy,
        journal: Journal | MutableMapping[str, Any],
        *,
        seed: int,
        progress: Progress = silent,
    ) -> None:
        """Prepare a search.

        Raises:
            SpecError: the budget does not cover the fewest candidates that the strategy needs.
            ResourceError: the strategy needs a package that is not installed.
        """
        self.trials: list[Trial] = []
        self.spent = Spent()
        self.notes: list[str] = []
        self._space, self._objective, self._strategy = space, objective, strategy
        self._budget = space.spec.budget
        self._journal, self._seed, self._progress = journal, seed, progress
        self._prices = list(objective.prices())
        strategy.check()
        require_start(space, strategy, self._prices)

    def run(self) -> list[Trial]:
        """Ask candidates until the budget is spent or none is left; return all trials.

        Raises:
            SampleError: no candidate has an estimate, or all of them have the same.
            UserError: something that every candidate needs has failed.
        """
        batch = 0
        while (count := self._affordable()) > 0:
            asked = self._batch(batch, count)
            if not asked:
                self.notes.append("There are no more candidates than these.")
                break
            for candidate in asked:
                self._try(candidate)
            self._look_again()
            self._check_progress()
            batch += 1
        self._check_end()
        return self.trials

    def _affordable(self) -> int:
        """Return how many candidates the next batch may have."""
        rest = [self._space.spec.batch]
        if self._budget.candidates is not None:
            rest.append(self._budget.candidates - self.spent.candidates)
        price = self._prices[0]
        for limit, used, each in (
            (self._budget.answers, self.spent.answers, price.answers),
            (self._budget.judge_calls, self.spent.judge_calls, price.judge_calls),
        ):
            if limit is not None and each:
                rest.append((limit - used) // each)
        return min(rest) if self._has_time_and_money(0) else 0

    def _has_time_and_money(self, look: int) -> bool:
        spent, budget = self.spent, self._budget
        if budget.hours is not None and spent.hours >= budget.hours:
            return False
        cost = spent.dearest.get(look, spent.dearest.get(0, 0.0))
        return budget.dollars is None or spent.dollars + cost <= budget.dollars

    def _affords(self, look: int) -> bool:
        """Whether one more look of this number is within the budget."""
        price, spent, budget = self._prices[look], self.spent, self._budget
        if budget.answers is not None and spent.answers + price.answers > budget.answers:
            return False
        calls = spent.judge_calls + price.judge_calls
        if budget.judge_calls is not None and calls > budget.judge_calls:
            return False
        return self._has_time_and_money(look)

    def _batch(self, number: int, count: int) -> list[Candidate]:
        key = f"batch-{number}"
        if key not in self._journal:
            history = History(
                space=self._space,
                trials=self.trials,
                goals=self._deciding(),
                reference=self._objective.reference,
                seed=self._seed,
                batch=number,
            )
            chosen = self._strategy.propose(history, count)
            _write(self._journal, key, [[c.point.method, list(c.point.cube)] for c in chosen])
        points = [Point(method, tuple(cube)) for method, cube in self._journal[key]]
        found = [self._space.candidate(point) for point in points[:count]]
        return [candidate for candidate in found if candidate is not None]

    def _deciding(self) -> list[int]:
        constant = constant_goals(measured_trials(self.trials))
        return [n for n in range(len(self._objective.goals)) if n not in constant]

    def _try(self, candidate: Candidate) -> None:
        trial = Trial(len(self.trials) + 1, candidate, [])
        self.trials.append(trial)
        self.spent.candidates += 1
        self._look(trial)
        most = self._budget.candidates or self.spent.candidates
        self._progress(self.spent.candidates, most, "candidates")

    def _look(self, trial: Trial) -> None:
        """Take the next look at a candidate, or find it in the journal."""
        look = len(trial.evidence)
        key = f"{trial.candidate.key}/{look}"
        if key not in self._journal:
            start = time.monotonic()
            try:
                found = dict(self._objective.ask(trial.candidate, look))
            except (ModelError, SpecError) as error:
                # These merges cannot be made, as with weights that add up to zero in some layer.
                found = {"failed": str(error)}
            _write(self._journal, key, found | {"seconds": time.monotonic() - start})
        evidence = self._journal[key]
        self.spent.add(look, evidence)
        if "failed" in evidence:
            trial.failed, trial.measured = evidence["failed"], None
            return
        trial.evidence.append(evidence)
        measured = self._objective.measure(trial.evidence)
        trial.measured = measured if measured.finite else None
        if not measured.finite:
            trial.failed = f"has no value on {', '.join(self._without_value(measured))}"

    def _without_value(self, measured: Measured) -> list[str]:
        names = [*self._objective.goals, *self._objective.constraints]
        values = [*measured.values, *measured.slacks]
        found = [name for name, value in zip(names, values, strict=True) if not np.isfinite(value)]
        return found or ["an axis, or no variance of it"]

    def _look_again(self) -> None:
        """Take the next look at the candidates that may be on the front."""
        for look in range(1, len(self._prices)):
            trials = kept_trials(self.trials) or measured_trials(self.trials)
            if not trials:
                return
            drawn = draws(trials, _DRAWS, [self._seed, len(self.trials), look])
            share = probability_non_dominated(drawn)
            for place in np.argsort(-share, kind="stable"):
                trial = trials[int(place)]
                if share[place] < _PROMISING or len(trial.evidence) != look:
                    continue
                if not self._affords(look):
                    return
                self._look(trial)

    def _check_progress(self) -> None:
        """Stop early where more candidates cannot help.

        Raises:
            SampleError: no candidate of the start has an estimate, or all have the same ones.
        """
        if len(self.trials) < self._strategy.needed(self._space):
            return
        self._check_end()

    def _check_end(self) -> None:
        told = measured_trials(self.trials)
        if not told:
            first = self.trials[0].failed if self.trials else "the budget allows none"
            raise SampleError(
                f"none of {len(self.trials)} candidates has an estimate. The first: {first}."
            )
        if len(told) > 1 and not self._deciding():
            values = told[0].measured.values if told[0].measured else ()
            pairs = zip(self._objective.goals, values, strict=True)
            shown = ", ".join(f"{goal} {value:.3g}" for goal, value in pairs)
            raise SampleError(
                f"all {len(told)} candidates have the same values ({shown}; 1 is best), so there "
                "is nothing to choose. The models may be equal, or these prompts or judges cannot "
                "tell their answers apart: look at the answers in the search folder."
            )


def require_start(space: Space, strategy: Strategy, prices: Sequence[Price]) -> None:
    """Refuse a budget that ends before a strategy has begun.

    Raises:
        SpecError: with the number that is needed.
    """
    budget, needed, price = space.spec.budget, strategy.needed(space), prices[0]
    for name, have, need in (
        ("candidates", budget.candidates, needed),
        ("answers", budget.answers, needed * price.answers),
        ("judge_calls", budget.judge_calls, needed * price.judge_calls),
    ):
        if have is not None and have < need:
            raise SpecError(
                f"search.budget.{name}: `{space.spec.strategy}` needs at least {need:,} for its "
                f"first {needed} candidates (seen: {have:,}). Raise it, or search less: fewer "
                "methods, ranges or values of a gradient, a smaller `screen`."
            )


def volumes(trials: Sequence[Trial], reference: Sequence[float]) -> list[float]:
    """Return the hypervolume after each trial, of those before it that keep the constraints.

    Estimates on the prompts of the search, so biased upwards: they show whether it still improves.
    """
    kept = {trial.number for trial in kept_trials(trials)}
    found, points = [], []
    for trial in trials:
        if trial.number in kept and trial.measured is not None:
            points.append(trial.measured.values)
        found.append(float(hypervolume(np.array(points), reference)) if points else 0.0)
    return found


def _write(journal: Journal | MutableMapping[str, Any], key: str, value: Any) -> None:
    if isinstance(journal, Journal):
        journal.append(key, value)
    else:
        journal[key] = value
