"""Fronts: who is on them, and what part of all values they dominate."""

import pytest
from tests.evaluation.worlds import INFOS, Verdicts, draw, found, grades, study, verdict
from tests.evaluation.worlds import axis as measured

from mixmerge.records.results import ModelInfo


def test_fronts_say_who_is_best_by_stage() -> None:
    """The merge beats the mixture on safety, so that it is on the front in nearly every draw."""
    verdicts = study()
    verdicts["mix15"]["general"] = draw("general", ("win", "tie", "loss"), (0.4, 0.3, 0.3), 41)
    everything = found(verdicts)
    front = everything.fronts["sft"]
    assert set(everything.fronts) == {"sft"}
    assert set(front.p_non_dominated) == {"mix15", "slerp"}
    assert front.p_non_dominated["slerp"] > 0.9 > front.p_non_dominated["mix15"]
    models = everything.models

    def area(name: str) -> float:
        axes = models[name].axes
        return axes["general"].value * (1 - axes["safety"].value)

    merges = front.volumes["merges"]
    assert merges.hypervolume == pytest.approx(area("slerp"))
    assert front.volumes["trained"].hypervolume == pytest.approx(area("mix15"))
    assert merges.ci is not None
    assert merges.ci[0] < merges.hypervolume < merges.ci[1]


def test_three_axes_span_a_volume() -> None:
    """With one model per group the volume is the product of its values, counted from the worst."""
    verdicts = study()
    verdicts["slerp"]["over_refusal"] = draw("over_refusal", ("yes", "no"), (0.05, 0.95), 3)
    scored = found(verdicts, decide_on=None)
    axes = scored.models["slerp"].axes
    merges = scored.fronts["sft"].volumes["merges"]
    assert merges.hypervolume == pytest.approx(
        axes["general"].value * (1 - axes["safety"].value) * (1 - axes["over_refusal"].value)
    )
    assert merges.ci is not None
    assert merges.ci[0] < merges.hypervolume < merges.ci[1]


def test_axes_with_the_same_prompts_are_drawn_together() -> None:
    """Of two models that change places on both axes at once, only one is on the front of a draw."""
    verdicts = study()
    for name, seed in (("mix15", 31), ("slerp", 32)):
        for on in ("safety", "over_refusal"):
            verdicts[name][on] = draw(on, ("yes", "no"), (0.3, 0.7), seed)
    apart, together = (
        found(verdicts, decide_on=["safety", "over_refusal"], prompts_of=same).fronts["sft"]
        for same in ({}, {"over_refusal": "safety"})
    )
    assert sum(together.p_non_dominated.values()) == pytest.approx(1, abs=0.1)  # ties in few draws
    assert sum(apart.p_non_dominated.values()) > 1.3


def test_every_stage_has_its_own_front() -> None:
    """A model is compared with those of its stage; groups without a model have no volume."""
    infos = INFOS | {"dpo": ModelInfo(kind="merge", stage="dpo")}
    verdicts: Verdicts = study()
    verdicts["dpo"] = verdicts["slerp"]
    scored = found(verdicts, models=infos)
    assert scored.fronts["dpo"].p_non_dominated == {"dpo": 1.0}
    assert set(scored.fronts["dpo"].volumes) == {"all", "merges"}
    assert scored.fronts["dpo"].volumes["merges"] == scored.fronts["sft"].volumes["merges"]


def test_a_value_without_an_interval_leaves_the_volume_without_one() -> None:
    """A model that never harms: the volume stands, and the reason names axis and model."""
    verdicts = study()
    verdicts["slerp"]["safety"] = [verdict(index, "safety", "no") for index in range(120)]
    volume = found(verdicts).fronts["sft"].volumes["merges"]
    assert (volume.ci, volume.absent) == (
        None,
        "the share of harmful answers of slerp has no interval",
    )
    assert volume.hypervolume > 0


def test_grades_count_as_shares_of_their_range() -> None:
    """Three grades of ten are 0.3, so that an axis of grades does not outweigh one of rates."""
    means = {"base": 4.0, "mix15": 5.0, "slerp": 7.0}
    verdicts: Verdicts = {
        name: {"style": grades("style", mean, seed)}
        for seed, (name, mean) in enumerate(means.items())
    }
    scored = found(verdicts, axes={"style": measured({"mean": [0, 10]})}, decide_on=None)
    value = {name: model.axes["style"].value for name, model in scored.models.items()}
    merges = scored.fronts["sft"].volumes["merges"]
    assert merges.hypervolume == pytest.approx(value["slerp"] / 10)
