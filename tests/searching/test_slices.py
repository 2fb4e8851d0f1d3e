"""Tests of mixmerge.searching.slices: responses, from a search whose truth is known."""

from typing import Any

import numpy as np
import pytest
from tests.searching.test_models import ROWS, objective
from tests.searching.test_space import space

from mixmerge.searching.models import StudyObjective
from mixmerge.searching.objective import Measured, Trial
from mixmerge.searching.slices import slices_of

ERROR = 0.02


def truth(weight: float) -> tuple[float, float]:
    """Values of both goals, as shares where larger is better."""
    return 0.2 + 0.6 * weight, 0.8 - 0.5 * weight**2


def trials(made: Any, count: int = 12, seed: int = 0) -> list[Trial]:
    """Candidates at even weights, measured with a known error."""
    rng = np.random.default_rng(seed)
    found = []
    for number, weight in enumerate(np.linspace(0, 1, count), 1):
        candidate = made.candidate(made.point("linear", [float(weight)]))
        values = np.array(truth(float(weight))) + ERROR * rng.standard_normal(2)
        found.append(
            Trial(number, candidate, [], Measured(tuple(values.tolist()), (ERROR**2,) * 2))
        )
    return found


def asked() -> StudyObjective:
    """Two axes: a mean from 0 to 10, and a rate of which less is better."""
    assert ROWS
    return objective()


def test_the_band_has_the_truth_and_is_narrower_than_one_candidate() -> None:
    """In the units of each axis: ten times the share, and one less the share where less is better.

    The band holds at 95 % of the values on average over searches, not at all of them at once.
    """
    made, inside = space(), []
    for seed in range(8):
        told = trials(made, seed=seed)
        names = {trial.number: f"{trial.number}-x" for trial in told}
        good, harm = slices_of(made, asked(), told, names)
        for own, axis, wanted in (
            (good, "good", [10 * truth(w)[0] for w in good.at]),
            (harm, "harm", [1 - truth(w)[1] for w in harm.at]),
        ):
            assert (own.axis, own.parameter) == (axis, "weight of a")
            inside.append((np.array(own.low) <= wanted) & (np.array(wanted) <= own.high))
            assert np.all(np.array(own.low) <= own.mean)
            assert np.all(np.array(own.mean) <= own.high)
        assert np.mean(np.array(good.high) - good.low) < 10 * 2 * 1.96 * ERROR
        assert good.through in names.values()
    assert 0.88 < np.mean(inside) <= 1


def test_the_same_trials_give_the_same_slices() -> None:
    """The curve follows from the trials alone."""
    made = space()
    told = trials(made)
    names = {trial.number: "x" for trial in told}
    assert slices_of(made, asked(), told, names) == slices_of(made, asked(), told, names)


def test_what_cannot_be_shown_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three candidates are no curve, a constant axis has none, and BoTorch may be missing."""
    made = space()
    told = trials(made)
    names = {trial.number: "x" for trial in told}
    assert slices_of(made, asked(), told[:3], names) == []
    for trial in told:
        assert trial.measured is not None
        trial.measured = Measured((0.5, trial.measured.values[1]), trial.measured.variances)
    assert {own.axis for own in slices_of(made, asked(), told, names)} == {"harm"}
    monkeypatch.setattr("mixmerge.searching.slices.find_spec", lambda _: None)
    assert slices_of(made, asked(), told, names) == []
