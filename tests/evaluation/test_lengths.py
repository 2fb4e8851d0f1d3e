"""Length of training: values by steps, and whether two merges want experts of other lengths."""

from collections.abc import Mapping

import numpy as np
import pytest
from tests.evaluation.worlds import AXES, axis, draw, study

from mixmerge.evaluation.results import results
from mixmerge.evaluation.spec import ResultsSpec
from mixmerge.records import Axis
from mixmerge.records.results import ModelInfo
from mixmerge.records.sweeps import LengthComparison, Lengths

MERGE = ModelInfo(kind="merge", stage="sft")
INFOS = {
    "base": ModelInfo(kind="base"),
    "mix15": ModelInfo(kind="mixture", stage="sft"),
    "linear": MERGE,
    "ties": MERGE,
    "slerp": MERGE,
    "dare": MERGE.model_copy(update={"stage": "dpo"}),
}
Rates = Mapping[str, Mapping[int, tuple[float, float]]]
"""Win rate and harm rate by merge and steps."""
APART: Rates = {"linear": {1: (0.8, 0.1), 2: (0.3, 0.1)}, "ties": {1: (0.3, 0.1), 2: (0.8, 0.1)}}


def lengths(
    rates: Rates, best: Mapping[str, int], weights: Mapping[Axis, float] | None = None,
    margin: float = 0.03,
) -> Lengths:  # fmt: skip
    """Draw verdicts with these rates and compare them; ``best`` is what development items say."""
    verdicts = study()
    verdicts |= dict.fromkeys(rates, verdicts["slerp"])
    by_steps = {name: {step: f"{name}-{step}" for step in own} for name, own in rates.items()}
    seed = 100
    for name, own in rates.items():
        for step, (wins, harm) in own.items():
            seed += 2
            verdicts[by_steps[name][step]] = {
                "general": draw("general", ("win", "loss"), (wins, 1 - wins), seed),
                "safety": draw("safety", ("yes", "no"), (harm, 1 - harm), seed + 1),
                "over_refusal": verdicts["slerp"]["over_refusal"],
            }
    axes = {**AXES, "general": axis("win_rate", margin=margin)}
    axes["safety"] = axis({"rate": "harmful"}, "lower", margin=margin)
    spec = ResultsSpec(
        study="drawn", draws=1000, axes=axes, decide_on=["general", "safety"],
        baselines={"sft": "mix15"}, lengths=by_steps, chosen_on=dict(weights or {"general": 1}),
    )  # fmt: skip
    infos = {name: info for name, info in INFOS.items() if name in (*rates, "base", "mix15")}
    chosen = {name: by_steps[name][step] for name, step in best.items()}
    found = results(spec, "base", infos, verdicts, chosen=chosen).lengths
    assert found is not None
    return found


def only(found: Lengths) -> LengthComparison:
    """The one comparison."""
    (pair,) = found.comparisons
    return pair


def test_a_method_that_needs_fewer_steps_differs() -> None:
    """Each is better at its own best step, by the sum of both gains on the weighed axis."""
    pair = only(lengths(APART, {"linear": 1, "ties": 2}))
    assert (pair.a, pair.b, pair.best, pair.steps) == ("linear", "ties", (1, 2), (1, 2))
    assert pair.decision == "differs"
    general = pair.axes["general"]
    assert general.difference == pytest.approx(general.changes[0] - general.changes[1])
    assert pair.gain == pytest.approx(-general.difference)
    assert pair.ci[0] < pair.gain < pair.ci[1]
    assert general.p_adjusted < 0.01 < pair.axes["safety"].p_adjusted


def test_the_contrast_and_its_interval_are_those_of_resampled_questions() -> None:
    """The mean over questions, and within a tenth the ends of a plain cluster bootstrap."""
    found = lengths(APART, {"linear": 1, "ties": 2})
    own = only(found).axes["general"]
    wins = {}
    for seed, name in zip((102, 104, 106, 108), ("l1", "l2", "t1", "t2"), strict=True):
        rate = 0.8 if name in ("l1", "t2") else 0.3
        rows = draw("general", ("win", "loss"), (rate, 1 - rate), seed)
        wins[name] = np.array([row.outcome == "win" for row in rows], dtype=float)
    each = (wins["l2"] - wins["l1"]) - (wins["t2"] - wins["t1"])
    assert own.difference == pytest.approx(each.mean())
    by_question = each.reshape(-1, 3).mean(axis=1)
    rng = np.random.default_rng(0)
    drawn = by_question[rng.integers(len(by_question), size=(5000, len(by_question)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert own.ci is not None
    assert own.ci == pytest.approx((low, high), abs=0.1 * (high - low))


def test_the_axes_count_as_in_the_choice() -> None:
    """Lower harm is a gain; with weights, each axis counts by its share."""
    rates = {
        "linear": {1: (0.8, 0.1), 2: (0.3, 0.1)},
        "ties": {1: (0.3, 0.6), 2: (0.8, 0.1)},
    }
    pair = only(lengths(rates, {"linear": 1, "ties": 2}, {"general": 1, "safety": 3}))
    gains = {"general": -pair.axes["general"].difference, "safety": pair.axes["safety"].difference}
    assert gains["safety"] > 0.2
    assert pair.gain == pytest.approx(0.25 * gains["general"] + 0.75 * gains["safety"])


def test_equal_best_steps_are_the_same_length() -> None:
    """The first and the last step are compared then; the sign says whose change is better."""
    rates = {"linear": {1: (0.5, 0.1), 2: (0.5, 0.1), 3: (0.3, 0.1)}, "ties": APART["ties"]}
    pair = only(lengths(rates, {"linear": 2, "ties": 2}))
    assert (pair.decision, pair.steps) == ("same", (1, 2))
    assert pair.gain == pytest.approx(pair.axes["general"].difference)


def test_no_difference_is_not_decidable_and_within_a_wide_margin_equivalent() -> None:
    """Development items chose different steps by chance alone; the test items show nothing."""
    equal = {name: {1: (0.5, 0.1), 2: (0.5, 0.1)} for name in ("linear", "ties")}
    assert only(lengths(equal, {"linear": 1, "ties": 2})).decision == "undecided"
    assert only(lengths(equal, {"linear": 1, "ties": 2}, margin=0.9)).decision == "equivalent"


def test_the_opposite_of_the_choice_is_no_difference() -> None:
    """Where test items say that each is worse at its own best step, nothing is claimed."""
    pair = only(lengths(APART, {"linear": 2, "ties": 1}))
    assert pair.gain < 0
    assert pair.decision == "undecided"


def test_best_steps_that_only_one_has_are_not_compared() -> None:
    """The contrasts are of the first and last common steps, and decide nothing."""
    rates = {"linear": {1: (0.8, 0.1), 2: (0.3, 0.1), 3: (0.1, 0.1)}, "ties": APART["ties"]}
    pair = only(lengths(rates, {"linear": 3, "ties": 1}))
    assert (pair.steps, pair.decision) == ((1, 2), "undecided")
    alone: Rates = {
        "linear": {1: (0.8, 0.1), 3: (0.3, 0.1)},
        "ties": {1: (0.3, 0.1), 2: (0.5, 0.1)},
    }
    assert lengths(alone, {"linear": 3, "ties": 1}).comparisons == ()


def test_only_merges_of_one_stage_are_compared() -> None:
    """A merge of another stage has experts of its own."""
    other = {**APART, "dare": APART["linear"]}
    assert len(lengths(other, {"linear": 1, "ties": 2, "dare": 1}).comparisons) == 1


def test_more_pairs_widen_each_interval() -> None:
    """The intervals decide, so they hold for all pairs together."""
    three = {**APART, "slerp": {1: (0.8, 0.1), 2: (0.3, 0.1)}}
    many = lengths(three, {"linear": 1, "ties": 2, "slerp": 1}).comparisons
    assert [(pair.a, pair.b) for pair in many] == [
        ("linear", "ties"),
        ("linear", "slerp"),
        ("ties", "slerp"),
    ]
    alone = only(lengths(APART, {"linear": 1, "ties": 2}))
    assert many[0].gain == pytest.approx(alone.gain)
    assert many[0].ci[0] < alone.ci[0]
    assert alone.ci[1] < many[0].ci[1]


def test_curves_have_every_step_and_no_more_models_are_reported() -> None:
    """A training that nothing chooses among has no best step; merges by steps are no models."""
    found = lengths(APART, {"linear": 1})
    assert [(curve.model, curve.best, [*curve.points]) for curve in found.curves] == [
        ("linear", 1, [1, 2]),
        ("ties", None, [1, 2]),
    ]
    assert found.comparisons == ()
    value = found.curves[0].points[1]["general"]
    assert value.ci is not None
    assert value.ci[0] < value.value < value.ci[1]
