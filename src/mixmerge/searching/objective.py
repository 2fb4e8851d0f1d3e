"""What a search asks of a candidate, and what it then knows: estimates with known errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from mixmerge.searching.space import Candidate
from mixmerge.stats.bootstrap import Floats


@dataclass(frozen=True)
class Price:
    """What a look at one candidate takes, known before it is taken."""

    answers: int
    judge_calls: int = 0


@dataclass(frozen=True)
class Measured:
    """Estimates for one candidate, from all its looks.

    All are shares of an axis's range, where larger is better; a constraint is kept from 0 on.
    """

    values: tuple[float, ...]
    """On each goal."""
    variances: tuple[float, ...]
    """Of these values: clustered, so known, and not the same for all candidates."""
    slacks: tuple[float, ...] = ()
    """By how much each constraint is kept."""
    slack_variances: tuple[float, ...] = ()

    @property
    def finite(self) -> bool:
        """Whether every number is one."""
        every = (*self.values, *self.variances, *self.slacks, *self.slack_variances)
        return bool(np.isfinite(every).all())

    @property
    def is_kept(self) -> bool:
        """Whether all constraints are kept, as far as is known."""
        return all(slack >= 0 for slack in self.slacks)


class Objective(Protocol):
    """Asks candidates. Evidence is plain JSON, kept in a journal; estimates follow from it."""

    @property
    def goals(self) -> Sequence[str]:
        """The axes to be traded off."""

    @property
    def constraints(self) -> Sequence[str]:
        """What must be kept, in words."""

    @property
    def reference(self) -> Sequence[float]:
        """A value on each goal that no good candidate is below: the corner of the hypervolume."""

    def prices(self) -> Sequence[Price]:
        """Return what each look at a candidate takes; the first is the screening."""

    def ask(self, candidate: Candidate, look: int) -> Mapping[str, Any]:
        """Ask a candidate what is asked in one look.

        Raises:
            UserError: the candidate cannot be merged, or something it needs has failed.
        """

    def measure(self, evidence: Sequence[Mapping[str, Any]]) -> Measured:
        """Estimate from the evidence of the first looks."""


@dataclass
class Trial:
    """A candidate that was asked."""

    number: int
    """From 1, in the order of asking."""
    candidate: Candidate
    evidence: list[Mapping[str, Any]]
    """Of every look so far."""
    measured: Measured | None = None
    """None if it failed."""
    failed: str = ""
    """Why there is no estimate."""


def draws(trials: Sequence[Trial], count: int, seed: Sequence[int]) -> Floats:
    """Return plausible values of every trial on every goal, of shape (draws, trials, goals)."""
    measured = [trial.measured for trial in trials if trial.measured is not None]
    values = np.array([each.values for each in measured])
    errors = np.sqrt([each.variances for each in measured])
    noise = np.random.default_rng(seed).standard_normal((count, *values.shape))
    return np.asarray(values + errors * noise)


def measured_trials(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials with an estimate."""
    return [trial for trial in trials if trial.measured is not None]


def kept_trials(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that keep all constraints."""
    return [t for t in measured_trials(trials) if t.measured is not None and t.measured.is_kept]


def constant_goals(trials: Sequence[Trial]) -> list[int]:
    """Return the goals on which all trials have one value, which decide nothing."""
    values = np.array([t.measured.values for t in trials if t.measured is not None])
    return [int(n) for n in np.flatnonzero(np.ptp(values, axis=0) < 1e-9)] if len(values) else []
