"""Order, names and dominance of models."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.models import (
    all_models,
    dominates,
    file_name,
    gains,
    labels,
    models_of,
    non_dominated,
    of_stage,
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


def test_names_of_files_are_safe() -> None:
    """What a study calls its stages and axes may hold anything."""
    assert file_name("my stage/2", "safe", "plane") == "my-stage-2-safe-plane"


def test_figures_call_models_by_their_names() -> None:
    """A name that fits is kept whole; of a longer one the middle goes, and no two are alike."""
    assert labels(["dpo-dare-ties", "base"]) == {"dpo-dare-ties": "dpo-dare-ties", "base": "base"}
    long = "sft-merge-of-the-general-and-the-safety-model"
    assert labels([f"{long}-1", f"{long}-2"]) == {
        f"{long}-1": "sft-merge-of…ety-model-1",
        f"{long}-2": "sft-merge-of…ety-model-2",
    }
    same = labels([f"sft-merge-of-{middle}-the-safety-model" for middle in ("four", "nine")])
    assert list(same.values()) == ["sft-merge-of…afety-m… 1", "sft-merge-of…afety-m… 2"]


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
