"""Order, names and dominance of models."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from mixmerge.records.results import Results
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.models import (
    all_models,
    describe,
    display_names,
    dominates,
    file_name,
    gains,
    models_of,
    non_dominated,
    of_stage,
    short_name,
    stage_name,
    stages,
)


def test_models_come_in_the_order_of_the_paper(study: ReportInput) -> None:
    """Trained models rise by safety share; merges keep the order of the study file."""
    assert stages(study.results) == ["sft", "dpo"]
    assert models_of(study.results, "sft") == [
        "sft-0", "sft-15", "sft-100", "sft-linear", "sft-slerp", "sft-ties", "sft-dare-ties",
    ]  # fmt: skip


def test_given_models_come_after_merges(make_given: Callable[..., ReportInput]) -> None:
    """Of models made outside of the study, merges come first, and all keep the study's order."""
    results = make_given(["code"]).results
    assert stages(results) == ["given"]
    assert all_models(results) == ["base", "slerp", "ties", "safe", "coder", "mixed"]


def test_stages_are_written_as_people_do(
    study: ReportInput, make_given: Callable[..., ReportInput]
) -> None:
    """Abbreviations are in capitals, words are not, and a single stage needs no name in titles."""
    assert [stage_name(stage) for stage in ("sft", "kto", "given", None)] == [
        "SFT", "KTO", "Given", "",
    ]  # fmt: skip
    assert of_stage(study.results, "dpo") == "DPO: "
    assert of_stage(make_given(["code"]).results, "given") == ""


def with_shares(study: ReportInput, *shares: dict[str, float]) -> Results:
    """Return results of models trained on these shares of sources, named a, b and so on."""
    mixture = study.results.models["sft-15"]
    models = {
        name: mixture.model_copy(
            update={"shares": own, "kind": "mixture" if own.get("x") else kind}
        )
        for name, own, kind in zip("abc", shares, ("expert", "mixture", "expert"), strict=False)
    }
    return study.results.model_copy(update={"models": models})


def test_trained_models_are_named_by_their_data(study: ReportInput) -> None:
    """Of two sources the second one's share is told, a single source is named, three are not."""
    results = study.results
    assert describe(results, "sft-15").replace("\N{NARROW NO-BREAK SPACE}", " ") == (
        "the 15 % safety mix"
    )
    assert describe(results, "dpo-100").endswith("% safety expert")
    assert describe(results, "sft-slerp") == "sft-slerp"
    assert describe(results, "unknown") == "unknown"
    assert describe(with_shares(study, {"code": 1.0}), "a") == "the code expert"
    three = with_shares(study, {"x": 0.2, "y": 0.3, "z": 0.5}, {"y": 1.0})
    assert describe(three, "a") == "a"
    assert models_of(three, "sft") == ["b", "a"]


def test_names_of_files_are_safe() -> None:
    """What a study calls its stages and axes may hold anything."""
    assert file_name("my stage/2", "safe", "plane") == "my-stage-2-safe-plane"


def test_short_names_drop_the_stage_but_never_everything() -> None:
    """A prefix or suffix of the stage goes; a name is never empty."""
    assert short_name("dpo-slerp", "dpo") == "slerp"
    assert short_name("slerp_dpo", "dpo") == "slerp"
    assert short_name("dpo", "dpo") == "dpo"
    assert short_name("dpo-", "dpo") == "dpo-"
    assert short_name("sft-slerp", "dpo") == "sft-slerp"
    assert short_name("base", None) == "base"
    assert short_name("given-x", "given") == "x"


def test_equal_shares_keep_their_names(study: ReportInput) -> None:
    """Two models with one safety share are told apart by name, others are called by share."""
    names = models_of(study.results, "sft")
    shown = display_names(study.results, names)
    assert shown["sft-15"].split() == ["15", "%", "safety"]
    assert shown["sft-ties"] == "ties"
    twins = display_names(study.results, ["sft-15", "dpo-15"])
    assert twins == {"sft-15": "sft-15", "dpo-15": "dpo-15"}


def test_long_names_become_the_method_or_a_number(study: ReportInput) -> None:
    """Labels stay short and different when names are long, whatever the names share."""
    long = "sft-merge-of-the-general-and-the-safety-model"
    merges = [m for m in study.results.models.values() if m.kind == "merge" and m.stage == "sft"]
    models = {f"{long}-{number}": model for number, model in enumerate(merges)}
    results = study.results.model_copy(update={"models": models})
    assert list(display_names(results, list(models)).values()) == [
        "linear", "slerp", "ties", "dare_ties",
    ]  # fmt: skip
    same = {name: model.model_copy(update={"method": "ties"}) for name, model in models.items()}
    results = study.results.model_copy(update={"models": same})
    shown = display_names(results, list(same)).values()
    assert len(set(shown)) == 4
    assert max(map(len, shown)) <= 18


@pytest.mark.parametrize("axes", [1, 2, 4])
def test_the_front_is_what_nothing_dominates(axes: int) -> None:
    """The front agrees with the definition checked pair by pair, ties on all axes included."""
    random = np.random.default_rng(3)
    found = {
        str(number): tuple(map(float, values))
        for number, values in enumerate(random.integers(0, 6, (40, axes)) / 6)
    }
    front = non_dominated(found)
    for name, own in found.items():
        beaten = any(
            min(o - s for o, s in zip(other, own, strict=True)) >= 0
            and max(o - s for o, s in zip(other, own, strict=True)) > 0
            for other in found.values()
        )
        assert (name in front) != beaten
    first = [found[name][0] for name in front]
    assert first == sorted(first)


def test_gains_rise_where_models_get_better(study: ReportInput) -> None:
    """An axis on which lower is better is turned round; models without an axis are left out."""
    models = dict(study.results.models)
    models["sft-0"] = models["sft-0"].model_copy(update={"axes": {}})
    results = study.results.model_copy(update={"models": models})
    found = gains(results, ["base", "sft-0", "dpo-100"], ["general", "safety"])
    assert found == {"base": (0.5, -0.5), "dpo-100": (0.75, -0.159)}


def test_nothing_dominates_its_equal() -> None:
    """Dominance is strict on at least one axis."""
    for a, b in itertools.product([(0.5, -0.5), (0.6, -0.5), (0.5, -0.4)], repeat=2):
        assert not (dominates(a, b) and dominates(b, a))
    assert not dominates((0.5, 0.5), (0.5, 0.5))
    assert dominates((0.5, -0.4), (0.5, -0.5))
