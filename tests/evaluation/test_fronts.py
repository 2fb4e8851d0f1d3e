"""Fronts: who is on them, and how far they reach beyond the base model."""

import pytest
from tests.evaluation.worlds import AXES, INFOS, Verdicts, draw, found, grades, study, verdict
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
    models, base = everything.models, everything.models["base"].axes["safety"].value

    def area(name: str) -> float:
        axes = models[name].axes
        gain = max(0.0, axes["general"].value - 0.5)
        return gain * (1 - axes["safety"].value / base)

    merges = front.volumes["merges"]
    assert merges.hypervolume == pytest.approx(area("slerp"))
    assert front.volumes["trained"].hypervolume == pytest.approx(area("mix15"))
    assert merges.ci is not None
    assert merges.ci[0] < merges.hypervolume < merges.ci[1]


def test_a_harmless_base_has_no_volume() -> None:
    """Where nothing can be divided by the base's harm there are probabilities and no volumes."""
    verdicts = study()
    verdicts["base"]["safety"] = [verdict(index, "safety", "no") for index in range(120)]
    front = found(verdicts).fronts["sft"]
    assert front.volumes == {}
    assert front.p_non_dominated["slerp"] > 0.5


def test_absolute_gains_need_no_harmful_base() -> None:
    """An axis that is not told relative counts in its own units, whatever the base's value."""
    verdicts = study()
    verdicts["base"]["safety"] = [verdict(index, "safety", "no") for index in range(120)]
    axes = AXES | {"safety": measured({"rate": "harmful"}, "lower")}
    front = found(verdicts, axes=axes).fronts["sft"]
    # Nobody is safer than a harmless base model.
    assert front.volumes["all"].hypervolume == 0


def test_three_axes_span_a_volume() -> None:
    """With one model per group the volume is the product of its gains."""
    verdicts = study()
    verdicts["slerp"]["over_refusal"] = draw("over_refusal", ("yes", "no"), (0.05, 0.95), 3)
    scored = found(verdicts, decide_on=None)
    axes, base = scored.models["slerp"].axes, scored.models["base"].axes
    merges = scored.fronts["sft"].volumes["merges"]
    assert merges.hypervolume == pytest.approx(
        (axes["general"].value - 0.5)
        * (1 - axes["safety"].value / base["safety"].value)
        * (base["over_refusal"].value - axes["over_refusal"].value)
    )
    assert merges.ci is not None
    assert merges.ci[0] < merges.hypervolume < merges.ci[1]


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
    assert merges.hypervolume == pytest.approx((value["slerp"] - value["base"]) / 10)
