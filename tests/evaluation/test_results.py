"""Results: planned contrasts with their tests, decisions, and what is refused."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control
from tests.evaluation.worlds import (
    AXES,
    CLUSTERS,
    INFOS,
    RATES,
    Verdicts,
    draw,
    found,
    grades,
    study,
    verdict,
)
from tests.evaluation.worlds import axis as measured

from mixmerge.errors import DataError, SpecError
from mixmerge.evaluation.results import Pair, planned_contrasts
from mixmerge.records import Axis, Results
from mixmerge.records.results import ModelInfo


def test_contrasts_compare_on_deciding_axes_with_holm_by_family() -> None:
    """Each pair is tested on the deciding axes; Holm multiplies within the pair's own family."""
    contrasts = found(study()).contrasts
    assert [(c.a, c.b, c.axis, c.family) for c in contrasts] == [
        ("slerp", "mix15", "general", "primary"),
        ("slerp", "mix15", "safety", "primary"),
        ("mix15", "base", "general", "secondary"),
        ("mix15", "base", "safety", "secondary"),
    ]
    for family in ("primary", "secondary"):
        first, second = sorted(
            (c for c in contrasts if c.family == family), key=lambda contrast: contrast.p
        )
        assert first.p_adjusted == pytest.approx(min(1, 2 * first.p))
        assert second.p_adjusted == pytest.approx(max(first.p_adjusted, second.p))
    safety, models = contrasts[1], found(study()).models
    assert safety.difference == pytest.approx(
        models["slerp"].axes["safety"].value - models["mix15"].axes["safety"].value
    )
    assert safety.ci is not None
    assert safety.ci[0] < safety.difference < safety.ci[1] < 0
    assert safety.p < 0.001
    assert safety.n == CLUSTERS


def test_benjamini_hochberg_stands_beside_holm() -> None:
    """Within each family, p_bh is scipy's and never above Holm's."""
    contrasts = found(study()).contrasts
    for family in ("primary", "secondary"):
        own = [contrast for contrast in contrasts if contrast.family == family]
        expected = false_discovery_control([contrast.p for contrast in own])
        assert [contrast.p_bh for contrast in own] == pytest.approx(expected.tolist())
        assert all((c.p_bh or 0) <= c.p_adjusted for c in own)


def test_rates_of_independent_prompts_have_mcnemars_p() -> None:
    """Where every prompt is its own cluster, contrasts of a rate have the exact p-value too."""
    verdicts = study()
    apart = {
        name: {
            axis: [row.model_copy(update={"cluster": row.prompt}) for row in rows]
            for axis, rows in axes.items()
        }
        for name, axes in verdicts.items()
    }
    general, safety = found(apart).contrasts[:2]
    harmful = {
        name: np.array([row.outcome == "yes" for row in verdicts[name]["safety"]])
        for name in ("slerp", "mix15")
    }
    only = [
        int(np.sum(harmful[a] & ~harmful[b])) for a, b in (("slerp", "mix15"), ("mix15", "slerp"))
    ]
    assert safety.p_mcnemar == pytest.approx(binomtest(only[0], sum(only)).pvalue)
    assert general.p_mcnemar is None
    assert all(contrast.p_mcnemar is None for contrast in found(verdicts).contrasts)


def test_same_seed_same_results_and_another_model_changes_nothing() -> None:
    """Results repeat, depend on the seed, and do not depend on which other models there are."""
    verdicts = study()
    first = found(verdicts)
    assert found(verdicts) == first
    assert found(verdicts, seed=1) != first
    infos = {name: info for name, info in INFOS.items() if name != "mix15"}
    without = {name: rows for name, rows in verdicts.items() if name != "mix15"}
    alone = found(without, models=infos, baselines=None, costs=None)
    assert alone.models["slerp"] == first.models["slerp"]


def test_a_contrast_does_not_depend_on_other_axes() -> None:
    """An axis before it or after it changes neither p-value nor interval of a contrast."""
    alone = found(study(), axes={"safety": AXES["safety"]}, decide_on=None)
    among = found(study(), decide_on=None)
    for contrast in alone.contrasts:
        other = among.contrast(contrast.a, contrast.b, "safety")
        assert other is not None
        assert (other.p, other.ci, other.n) == (contrast.p, contrast.ci, contrast.n)


def info(kind: str, stage: str = "sft") -> ModelInfo:
    return ModelInfo.model_validate({"kind": kind, "stage": stage})


PLANNED = {
    "base": INFOS["base"],
    "mix0": info("mixture"),
    "mix15": info("mixture"),
    "expert": info("expert"),
    "slerp": info("merge"),
    "dpo-mix": info("mixture", "dpo"),
    "dpo-slerp": info("merge", "dpo"),
}


def test_students_and_named_arms_are_tested_like_merges() -> None:
    """They are primary; models of the baseline's arm are compared with the base model only."""
    student = ModelInfo(kind="expert", stage="sft", arm="distil")
    named = ModelInfo(kind="mixture", stage="sft", arm="temperature")
    models = {**PLANNED, "student": student, "hot": named}
    primary = [(name, "mix15", "primary") for name in ("slerp", "dpo-slerp", "student", "hot")]
    planned = planned_contrasts("base", models, {"sft": "mix15", "dpo": "mix15"})
    assert planned[:4] == primary
    assert {"student", "hot"}.isdisjoint(a for a, _, _ in planned[4:])
    against_hot = planned_contrasts("base", models, {"sft": "hot"})
    assert [a for a, _, family in against_hot if family == "primary"] == ["slerp", "student"]
    assert (PLANNED["mix0"].arm, PLANNED["expert"].arm) == ("mix", "single expert")


@pytest.mark.parametrize(
    ("baselines", "primary", "secondary"),
    [
        pytest.param({}, [(name, "base") for name in PLANNED if name != "base"], [], id="none"),
        pytest.param(
            {"sft": "mix15", "dpo": "dpo-mix"},
            [("slerp", "mix15"), ("dpo-slerp", "dpo-mix")],
            [
                ("mix0", "base"),
                ("mix15", "base"),
                ("expert", "base"),
                ("expert", "mix15"),
                ("dpo-mix", "base"),
            ],
            id="one for each stage",
        ),
        pytest.param(
            {"sft": "mix15", "dpo": "mix15"},
            [("slerp", "mix15"), ("dpo-slerp", "mix15")],
            [
                ("mix0", "base"),
                ("mix15", "base"),
                ("expert", "base"),
                ("expert", "mix15"),
                ("dpo-mix", "base"),
            ],
            id="one for all stages",
        ),
        pytest.param(
            {"dpo": "dpo-mix"},
            [("dpo-slerp", "dpo-mix")],
            [("mix0", "base"), ("mix15", "base"), ("expert", "base"), ("dpo-mix", "base")],
            id="of one stage only",
        ),
        pytest.param(
            {"sft": "slerp"},
            [],
            [
                ("mix0", "base"),
                ("mix15", "base"),
                ("expert", "base"),
                ("expert", "slerp"),
                ("dpo-mix", "base"),
            ],
            id="a merge as baseline",
        ),
        pytest.param({"sft": "not-judged-yet"}, [], [], id="not among the models"),
    ],
)
def test_what_is_tested_is_planned_from_kinds_and_baselines(
    baselines: dict[str, str], primary: list[tuple[str, str]], secondary: list[tuple[str, str]]
) -> None:
    """Merges against the baseline of their stage come first; without baselines all against base."""
    expected: list[Pair] = [(a, b, "primary") for a, b in primary]
    expected += [(a, b, "secondary") for a, b in secondary]
    assert planned_contrasts("base", PLANNED, baselines) == expected


def test_without_a_baseline_every_model_is_compared_with_the_base() -> None:
    """Then the base model is what decisions are about, and the values are those of before."""
    scored = found(study(), baselines=None)
    pairs = [("mix15", "base"), ("slerp", "base")]
    assert [(d.a, d.b, d.stage) for d in scored.decisions] == [(*pair, "sft") for pair in pairs]
    assert {contrast.family for contrast in scored.contrasts} == {"primary"}
    assert scored.baselines == {}
    assert scored.models == found(study()).models


def test_a_decision_follows_the_signs_of_the_deciding_axes() -> None:
    """Safer and shown not to be worse beats; not shown is undecided; shown to be worse trades."""
    verdicts = study()
    (decision,) = found(verdicts).decisions
    assert (decision.decision, decision.better, decision.not_worse) == (
        "undecided",
        ("safety",),
        ("safety",),
    )
    wide = AXES | {"general": measured("win_rate", margin=0.3)}
    (decision,) = found(verdicts, axes=wide).decisions
    assert decision.not_worse == ("general", "safety")
    assert (decision.a, decision.b, decision.stage) == ("slerp", "mix15", "sft")
    assert (decision.decision, decision.better, decision.worse) == ("beats", ("safety",), ())
    verdicts["slerp"]["general"] = draw("general", ("win", "tie", "loss"), (0.05, 0.1, 0.85), 7)
    (decision,) = found(verdicts).decisions
    assert decision.decision == "trades"
    assert (decision.better, decision.worse) == (("safety",), ("general",))
    (decision,) = found(verdicts, decide_on=["general"]).decisions
    assert (decision.decision, decision.worse) == ("loses", ("general",))
    (decision,) = found(verdicts, decide_on=["over_refusal"]).decisions
    assert (decision.decision, decision.better, decision.worse) == ("undecided", (), ())


def test_better_turns_decisions_and_fronts_and_nothing_else() -> None:
    """A comparison where wins are bad: the same contrast is a loss, and the front is the other."""
    verdicts = study()
    verdicts["slerp"]["general"] = draw("general", ("win", "tie", "loss"), (0.8, 0.1, 0.1), 5)
    verdicts["mix15"]["general"] = draw("general", ("win", "tie", "loss"), (0.2, 0.1, 0.7), 6)
    higher, lower = (
        found(verdicts, axes={"general": measured("win_rate", better)}, decide_on=None)
        for better in ("higher", "lower")
    )
    upper, turned = (each.contrasts[0] for each in (higher, lower))
    swapped = {"p_not_worse": turned.p_not_better, "p_not_better": turned.p_not_worse}
    assert upper.model_dump() == turned.model_dump() | swapped
    assert upper.p_not_worse == pytest.approx(0, abs=1e-4)
    assert upper.p_not_better == pytest.approx(1, abs=1e-4)
    assert [each.decisions[0].decision for each in (higher, lower)] == ["beats", "loses"]
    assert higher.fronts["sft"].p_non_dominated == {"mix15": 0.0, "slerp": 1.0}
    assert lower.fronts["sft"].p_non_dominated == {"mix15": 1.0, "slerp": 0.0}
    volumes = [each.fronts["sft"].volumes for each in (higher, lower)]
    value = {name: model.axes["general"].value for name, model in higher.models.items()}
    assert volumes[0]["merges"].hypervolume == pytest.approx(value["slerp"])
    assert volumes[1]["trained"].hypervolume == pytest.approx(1 - value["mix15"])


def test_contrasts_of_grades_are_in_their_own_units() -> None:
    """Grades from 0 to 10 differ by grades, and decide like any other axis."""
    means = {"base": 4.0, "mix15": 5.0, "slerp": 7.0}
    verdicts: Verdicts = {
        name: {"style": grades("style", mean, seed)}
        for seed, (name, mean) in enumerate(means.items())
    }
    scored = found(verdicts, axes={"style": measured({"mean": [0, 10]})}, decide_on=None)
    contrast = scored.contrast("slerp", "mix15", "style")
    assert contrast is not None
    value = {name: model.axes["style"].value for name, model in scored.models.items()}
    assert contrast.difference == pytest.approx(value["slerp"] - value["mix15"])
    assert contrast.ci is not None
    assert 1 < contrast.ci[0] < contrast.difference < contrast.ci[1] < 3
    assert contrast.p_mcnemar is None
    assert scored.decisions[0].decision == "beats"


@pytest.mark.parametrize("count", [1, 3, 5])
def test_any_number_of_axes_decides(count: int) -> None:
    """Every axis has values, contrasts and a say; beyond four there is no volume."""
    names = [f"axis{number}" for number in range(count)]
    verdicts: Verdicts = {
        model: {
            name: draw(name, ("yes", "no"), (1 - rate, rate), 31 * place + number)
            for number, name in enumerate(names)
        }
        for place, (model, rate) in enumerate(RATES.items())
    }
    axes = {name: measured({"rate": "correct"}) for name in names}
    scored = found(verdicts, axes=axes, decide_on=None)
    assert list(scored.axes) == list(scored.deciding) == names
    assert [(c.a, c.axis) for c in scored.contrasts] == [
        (model, name) for model in ("slerp", "mix15") for name in names
    ]
    (decision,) = scored.decisions
    assert (decision.decision, decision.better) == ("beats", tuple(names))
    # Holm counts all tests of a family: one pair on every axis.
    smallest = min(scored.contrasts[:count], key=lambda contrast: contrast.p)
    assert smallest.p_adjusted == pytest.approx(count * smallest.p)
    front = scored.fronts["sft"]
    assert front.p_non_dominated["slerp"] == 1
    if count == 5:
        assert front.volumes == {}
    else:
        values = {name: model.axes for name, model in scored.models.items()}
        reached = np.prod([values["slerp"][name].value for name in names])
        assert front.volumes["all"].hypervolume == pytest.approx(reached)


def test_axes_that_do_not_decide_are_only_shown() -> None:
    """They have values and intervals, and no contrast, no say and no dimension of the front."""
    scored = found(study())
    assert [axis for axis, info in scored.axes.items() if info.primary] == ["general", "safety"]
    assert "over_refusal" in scored.models["slerp"].axes
    assert not [c for c in scored.contrasts if c.axis == "over_refusal"]
    fewer = {axis: spec for axis, spec in AXES.items() if axis != "over_refusal"}
    assert found(study(), axes=fewer).fronts == scored.fronts


def test_other_prompts_are_refused() -> None:
    """Models judged on different prompts cannot be compared; the message names one prompt."""
    verdicts = study()
    del verdicts["slerp"]["safety"][7]
    with pytest.raises(DataError, match=r"axis safety: the prompt 'p7' .* 'base' and 'slerp'"):
        found(verdicts)


def test_missing_axes_and_unknown_names_are_refused() -> None:
    """A model without verdicts on an axis, and names of models and axes that are none."""
    verdicts = study()
    nameless = {name: info for name, info in INFOS.items() if name != "base"}
    with pytest.raises(SpecError, match="base model 'base' is not among the models: mix15, slerp"):
        found(verdicts, models=nameless)
    with pytest.raises(SpecError, match=r"at least one model besides the base model \(seen: 0\)"):
        found(verdicts, models={"base": INFOS["base"]})
    with pytest.raises(SpecError, match="baseline of sft: 'base' is the base model; name a check"):
        found(verdicts, baselines={"sft": "base"})
    with pytest.raises(
        SpecError, match="decide_on: there is no axis 'safty', only general, safety"
    ):
        found(verdicts, decide_on=["general", "safty"])
    del verdicts["slerp"]["over_refusal"]
    with pytest.raises(DataError, match="model 'slerp': no verdicts on over_refusal"):
        found(verdicts)


def test_the_base_model_needs_verdicts_where_its_value_is_not_fixed() -> None:
    """It ties with itself by definition, but nobody knows its harm without a judge."""
    verdicts = study()
    del verdicts["base"]["safety"]
    with pytest.raises(DataError, match="model 'base': no verdicts on safety"):
        found(verdicts)


def test_no_deciding_axis_means_all() -> None:
    """An empty list is the same as none: something has to decide."""
    assert found(study(), decide_on=[]) == found(study(), decide_on=None)


def test_results_read_back_what_they_wrote() -> None:
    """The JSON of results is read back as the same results."""
    first = found(study())
    assert Results.model_validate_json(first.model_dump_json()) == first
    assert list(itertools.islice(first.model_dump(), 1)) == ["schema"]


def test_missing_verdicts_are_no_gain() -> None:
    """Equal but for missing verdicts, two models differ by nothing on the prompts that are left."""
    verdicts = study()
    axis: Axis = "safety"
    verdicts["slerp"][axis] = [
        verdict(index, axis, "error") if index >= 60 else row
        for index, row in enumerate(verdicts["mix15"][axis])
    ]
    scored = found(verdicts)
    contrast = scored.contrast("slerp", "mix15", axis)
    assert contrast is not None
    assert (contrast.difference, contrast.n, contrast.p) == (0, 20, 1)
    assert scored.models["slerp"].axes[axis].n == 60
