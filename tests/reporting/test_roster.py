"""Order, names and dominance of models."""

import itertools

import numpy as np
from mixmerge.reporting.roster import (
    all_models,
    display_names,
    dominates,
    groups,
    models_of,
    non_dominated,
    short_name,
    stages,
)

from mixmerge.reporting.input import ReportInput


def test_models_come_in_the_order_of_the_paper(study: ReportInput) -> None:
    """Trained models rise by safety share; merges keep the order of the study file."""
    assert stages(study.results) == ["sft", "dpo"]
    assert models_of(study.results, "sft") == [
        "sft-0", "sft-15", "sft-100", "sft-linear", "sft-slerp", "sft-ties", "sft-dare-ties",
    ]  # fmt: skip


def test_models_without_a_stage_are_a_group_of_their_own(study: ReportInput) -> None:
    """They come after the base model and before the stages, and every model comes once."""
    assert groups(study.results) == ["sft", "dpo"]
    models = {
        name: model.model_copy(update={"stage": None}) if name == "sft-15" else model
        for name, model in study.results.models.items()
    }
    results = study.results.model_copy(update={"models": models})
    assert groups(results) == [None, "sft", "dpo"]
    assert models_of(results, None) == ["sft-15"]
    assert all_models(results)[:2] == ["base", "sft-15"]
    assert sorted(all_models(results)) == sorted(models)


def test_short_names_drop_the_stage_but_never_everything() -> None:
    """A prefix or suffix of the stage goes; a name is never empty."""
    assert short_name("dpo-slerp", "dpo") == "slerp"
    assert short_name("slerp_dpo", "dpo") == "slerp"
    assert short_name("dpo", "dpo") == "dpo"
    assert short_name("dpo-", "dpo") == "dpo-"
    assert short_name("sft-slerp", "dpo") == "sft-slerp"
    assert short_name("base", None) == "base"


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


def test_the_front_is_what_nothing_dominates() -> None:
    """The front agrees with the definition checked pair by pair, ties on both axes included."""
    random = np.random.default_rng(3)
    rates = {
        str(number): (float(win), float(harm))
        for number, (win, harm) in enumerate(random.integers(0, 6, (40, 2)) / 6)
    }
    front = non_dominated(rates)
    for name, (win, harm) in rates.items():
        beaten = any((w > win and h <= harm) or (w >= win and h < harm) for w, h in rates.values())
        assert (name in front) != beaten
    wins = [rates[name][0] for name in front]
    assert wins == sorted(wins)


def test_nothing_dominates_its_equal() -> None:
    """Dominance is strict on at least one axis."""
    for a, b in itertools.product([(0.5, 0.5), (0.6, 0.5), (0.5, 0.4)], repeat=2):
        assert not (dominates(a, b) and dominates(b, a))
    assert not dominates((0.5, 0.5), (0.5, 0.5))
    assert dominates((0.5, 0.4), (0.5, 0.5))
