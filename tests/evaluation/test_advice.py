"""Which model is recommended: by what is shown, by priorities, by limits and by cost."""

from typing import Any

import pytest
from tests.evaluation.worlds import AXES, INFOS, Verdicts, draw, found, verdict

from mixmerge.records import Outcome
from mixmerge.records.advice import Advice
from mixmerge.records.results import Costs, ModelInfo

OUTCOMES: tuple[Outcome, ...] = ("win", "tie", "loss")
MODELS = INFOS | {"ties": ModelInfo(kind="merge", stage="sft", method="ties")}


def world(**rates: tuple[float, float]) -> Verdicts:
    """Draw verdicts of models from (share of wins, share of harmful answers)."""
    drawn: Verdicts = {"base": {"safety": draw("safety", ("yes", "no"), (0.9, 0.1), 0)}}
    for seed, (name, (wins, harm)) in enumerate(rates.items(), 1):
        drawn[name] = {
            "general": draw("general", OUTCOMES, (wins, 0.0, 1 - wins), 20 + seed),
            "safety": draw("safety", ("yes", "no"), (harm, 1 - harm), seed),
        }
    return drawn


def advised(verdicts: Verdicts, **other: Any) -> Advice:
    """Return the advice of a study with two axes that both decide."""
    axes = {axis: AXES[axis] for axis in ("general", "safety")}
    models = {name: MODELS[name] for name in verdicts}
    usual: dict[str, Any] = {"axes": axes, "models": models, "decide_on": None}
    advice = found(verdicts, **(usual | other)).advice
    assert advice is not None
    return advice


def test_what_is_shown_to_be_better_is_taken() -> None:
    """A merge far better on one axis and alike on the other replaces the baseline."""
    advice = advised(world(mix15=(0.6, 0.5), slerp=(0.6, 0.05)))
    assert (advice.choice, advice.against, advice.reason) == ("slerp", "mix15", "better")
    assert advice.ci is not None
    assert 0 < advice.ci[0] < advice.gain < advice.ci[1]
    assert advice.p_best > 0.99
    assert (advice.open, advice.candidates) == ((), 3)
    assert advice.weights == {"general": 0.5, "safety": 0.5}


def test_noise_leaves_the_baseline_and_says_what_would_decide() -> None:
    """A merge that measures better by luck is an open question with more prompts than now."""
    advice = advised(world(mix15=(0.6, 0.3), slerp=(0.64, 0.3)))
    assert (advice.choice, advice.reason, advice.ci) == ("mix15", "default", None)
    (question,) = advice.open
    assert question.model == "slerp"
    assert question.ci[0] < 0 < question.gain < question.ci[1]
    assert question.needed is not None
    assert all(question.needed[axis] > now for axis, now in advice.questions.items())


def test_the_needed_number_shrinks_with_the_square_of_the_gain() -> None:
    """Four times the questions halve the interval: counted again from the reported numbers."""
    advice = advised(world(mix15=(0.6, 0.3), slerp=(0.64, 0.3)), draws=10_000)
    (question,) = advice.open
    half = (question.ci[1] - question.ci[0]) / 2
    expected = advice.questions["general"] * (half / max(question.gain, 0.03 - question.gain)) ** 2
    assert question.needed is not None
    assert question.needed["general"] == pytest.approx(expected, rel=0.15)


def test_a_trade_depends_on_the_priorities() -> None:
    """A model safer and less helpful is taken from the factor at which it is shown to be better."""
    verdicts = world(mix15=(0.85, 0.5), slerp=(0.45, 0.1))
    advice = advised(verdicts)
    assert advice.choice == "mix15"
    (other,) = advice.priorities
    assert (other.model, other.axis) == ("slerp", "safety")
    assert other.factor > 1
    weighed = advised(verdicts, weights={"general": 1, "safety": other.factor})
    assert weighed.choice == "slerp"
    assert weighed.weights["safety"] == pytest.approx(other.factor / (1 + other.factor))
    assert all(each.axis == "general" or each.factor < 1 for each in weighed.priorities)


def test_of_three_axes_one_may_count_less() -> None:
    """With three axes a model that is bad on one only is taken where that one counts little."""
    verdicts = world(mix15=(0.6, 0.4), slerp=(0.95, 0.4))
    rates = {"base": 0.3, "mix15": 0.1, "slerp": 0.5}
    for seed, (name, rate) in enumerate(rates.items(), 50):
        verdicts[name]["over_refusal"] = draw("over_refusal", ("yes", "no"), (rate, 1 - rate), seed)
    advice = advised(verdicts, axes=AXES)
    assert advice.choice == "mix15"
    told = {(each.model, each.axis, each.factor < 1) for each in advice.priorities}
    assert told & {("slerp", "general", False), ("slerp", "over_refusal", True)}


def test_a_model_beyond_a_limit_is_not_recommended() -> None:
    """However good, it is left out and named; without a baseline left the best of the rest wins."""
    verdicts = world(mix15=(0.6, 0.5), slerp=(0.9, 0.45), ties=(0.6, 0.1))
    assert advised(verdicts).choice == "ties"
    limited = advised(verdicts, limits={"general": 0.8})
    assert (limited.choice, limited.reason) == ("slerp", "limits")
    assert limited.excluded == dict.fromkeys(("base", "mix15", "ties"), ("general",))
    nothing = advised(verdicts, limits={"general": 0.99, "safety": 0.01})
    assert (nothing.choice, nothing.candidates) == (None, 0)
    assert nothing.excluded["slerp"] == ("general", "safety")


def test_of_equivalent_models_the_cheaper_is_taken() -> None:
    """Equal answers at half the training: the cheaper one, and the reason says so."""
    verdicts = world(mix15=(0.6, 0.3))
    verdicts["slerp"] = verdicts["mix15"]
    dear = Costs(training_tokens=100, training_rows=10)
    cheap = Costs(training_tokens=50, training_rows=5)
    taken = advised(verdicts, costs={"mix15": dear, "slerp": cheap}, axes=wide())
    assert (taken.choice, taken.against, taken.reason) == ("slerp", "mix15", "equivalent")
    kept = advised(verdicts, costs={"mix15": cheap, "slerp": dear}, axes=wide())
    assert (kept.choice, kept.reason) == ("mix15", "default")


def wide() -> dict[str, Any]:
    """Return the axes with margins within which 40 questions can show equality."""
    axes = {axis: AXES[axis] for axis in ("general", "safety")}
    return {axis: own.model_copy(update={"margin": 0.2}) for axis, own in axes.items()}


def test_a_tiny_sample_shows_nothing() -> None:
    """Twelve questions, all won: no interval is offered, and none is needed to stay."""
    verdicts = world(mix15=(0.6, 0.3), slerp=(0.7, 0.2))
    small = {
        name: {axis: rows[:36:3] for axis, rows in axes.items()} for name, axes in verdicts.items()
    }
    advice = advised(small)
    assert (advice.choice, advice.priorities) == ("mix15", ())


def test_a_rate_of_zero_can_still_win() -> None:
    """A model that never harms has no interval of its own, and is shown to be safer anyway."""
    verdicts = world(mix15=(0.6, 0.5), slerp=(0.6, 0.5))
    verdicts["slerp"]["safety"] = [verdict(index, "safety", "no") for index in range(120)]
    assert advised(verdicts).choice == "slerp"


def test_without_baselines_the_base_model_is_what_stays() -> None:
    """A study that compares with the base model keeps it where nothing is shown to be better."""
    verdicts = world(slerp=(0.5, 0.9))
    advice = advised(verdicts, baselines=None)
    assert (advice.choice, advice.reason) == ("base", "default")
    better = advised(world(slerp=(0.9, 0.2)), baselines=None)
    assert (better.choice, better.against) == ("slerp", "base")
