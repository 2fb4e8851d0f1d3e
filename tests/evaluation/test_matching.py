"""Sweeps against the baseline of their stage, at its own value of one axis."""

import pytest
from tests.evaluation.worlds import INFOS, draw, found, study

from mixmerge.records.results import Results


def _swept(rates: tuple[float, ...]) -> Results:
    verdicts = study()
    names = [f"slerp-{place}" for place in range(len(rates))]
    for place, (name, harm) in enumerate(zip(names, rates, strict=True)):
        wins = 0.2 + 0.5 * harm
        verdicts[name] = {
            "general": draw("general", ("win", "tie", "loss"), (wins, 0.1, 0.9 - wins), 50 + place),
            "safety": draw("safety", ("yes", "no"), (harm, 1 - harm), 60 + place),
            "over_refusal": draw("over_refusal", ("yes", "no"), (0.3, 0.7), 70 + place),
        }
    return found(verdicts, match_on="safety", sweeps={"slerp": names})


def test_a_sweep_is_compared_at_the_baselines_own_value() -> None:
    """Between the two neighbours of the mix's harm, by the proportion of their distances."""
    scored = _swept((0.9, 0.6, 0.2, 0.05))
    (matched,) = scored.matched
    level = scored.models["mix15"].axes["safety"].value
    assert (matched.model, matched.baseline, matched.axis) == ("slerp", "mix15", "safety")
    assert matched.level == pytest.approx(level)
    high, low = matched.sweep["slerp-1"], matched.sweep["slerp-2"]
    share = (high["safety"] - level) / (high["safety"] - low["safety"])
    wins = high["general"] + share * (low["general"] - high["general"])
    difference = matched.differences["general"]
    assert difference.difference is not None
    assert difference.difference == pytest.approx(
        wins - scored.models["mix15"].axes["general"].value
    )
    assert difference.ci is not None
    assert difference.ci[0] < difference.difference < difference.ci[1]
    assert set(matched.differences) == {"general"}


def test_a_sweep_changes_nothing_else() -> None:
    """Its merges are no models of the study: values, contrasts and fronts are as without it."""
    with_sweep, without = _swept((0.9, 0.2)), found(study())
    assert with_sweep.model_copy(update={"matched": ()}) == without
    assert list(with_sweep.models) == list(INFOS)


def test_a_value_that_the_sweep_does_not_reach_has_no_difference() -> None:
    """Nothing is extrapolated beyond the ends of a sweep."""
    (matched,) = _swept((0.95, 0.8)).matched
    assert matched.differences["general"].difference is None
    assert "no two neighbouring points" in matched.differences["general"].absent


def test_a_sweep_whose_merges_are_not_all_judged_is_left_out() -> None:
    """A report of an unfinished study has no matched comparison yet."""
    assert found(study(), match_on="safety", sweeps={"slerp": ["slerp-0"]}).matched == ()
