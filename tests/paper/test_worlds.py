"""Tests of paper.worlds: mix and merges at the same price, in every world."""

from pathlib import Path

import pytest
from tests.paper.worlds import scores

from mixmerge.study.check import read_study
from paper.worlds import (
    SHARES,
    WORLDS,
    along_contrasts,
    asked,
    chosen_points,
    complete,
    in_world,
    markdown,
    models,
    preconditions,
    steepest,
    study_of,
)

WEIGHTS = (0, 0.1, 0.3, 0.5, 0.7, 0.9, 1)


def line(weight: float, gain: float = 0.0) -> tuple[float, float]:
    """A point of a path from (0.8 win, 0.9 harm) to (0.4 win, 0.1 harm)."""
    return 0.8 - 0.4 * weight + gain, 0.9 - 0.8 * weight


@pytest.mark.parametrize("world", WORLDS)
def test_each_world_has_base_experts_mix_and_all_weights(world: str) -> None:
    """Seven weights of four methods; chosen merges only where choices are reported."""
    found = asked(world)
    assert len(found) == 1 + 3 + 4 * len(WEIGHTS) + 4 * (world == "aligned")
    own, other = ("dpo", "sft") if "DPO" in world else ("sft", "dpo")
    assert f"{own}-slerp-0.3" in found
    assert f"{other}-15" not in found


def test_safety_data_along_the_contrasts_differ_in_refusals_only() -> None:
    """Contrasts take the place of refusals; general rows and answers keep their shares."""
    study = read_study(study_of("contrasts"))
    for share in SHARES:
        only, mix = (study.mixtures[f"{kind}-{share}"].shares for kind in ("only", "mix"))
        assert only["contrasts"] == pytest.approx(share / 100)
        assert only["answers"] == 0.18
        assert sum(only.values()) == pytest.approx(1)
        assert mix == pytest.approx({"general": 0.85} | {n: 0.15 * s for n, s in only.items()})


def test_merges_above_the_mix_at_its_harm_beat_it() -> None:
    """A path 10 points above the mix beats it; one that never reaches its harm decides nothing."""
    paths = {
        f"sft-{method}-{weight}": line(weight, 0.1)
        for method in ("linear", "slerp", "ties", "dare-ties")
        for weight in WEIGHTS
    }
    flat = {f"sft-ties-{weight}": (0.7, 0.9) for weight in WEIGHTS}
    world = scores({"base": (0.5, 0.8), "sft-15": line(0.5), **paths, **flat})
    rows = {row.method: row for row in in_world("aligned", world)}
    assert rows["slerp"].decision == "beats"
    assert rows["ties"].decision is rows["all four"].decision is None
    text = markdown([rows["slerp"], rows["ties"]], "world").splitlines()
    assert text[2].startswith("| aligned | slerp | +10.")
    assert text[3].count("the mix's harm is reached in 0 of 3 seeds") == 2


def test_every_share_of_contrasts_is_compared_with_its_own_mix() -> None:
    """A mix that is 20 points worse at one share makes the merges ahead there alone."""
    found = {
        f"{method}-{share}-{weight}": line(weight)
        for method in ("linear", "ties")
        for share in SHARES
        for weight in WEIGHTS
    }
    mixes = {f"mix-{share}": line(0.5, -0.2 if share == 12 else 0.0) for share in SHARES}
    rows = along_contrasts(scores({"base": (0.5, 0.8), **mixes, **found}))
    assert {row.where for row in rows if row.decision == "beats"} == {"12 %"}


def test_seeds_count_up_to_the_first_that_is_incomplete(tmp_path: Path) -> None:
    """A folder in which nothing ran has no complete seed."""
    assert complete("aligned", tmp_path, 2) == []


def test_models_of_a_sweep_are_its_merges() -> None:
    """The base comes first; other checkpoints than those asked for are left out."""
    study = read_study(study_of("aligned"))
    assert models(study, ["sft-linear"]) == ["base", *(f"sft-linear-{w}" for w in WEIGHTS)]


EXPERTS = {"base": (0.5, 0.8), "sft-0": (0.7, 0.5), "sft-15": (0.6, 0.45), "sft-100": (0.6, 0.6)}


def test_preconditions_count_the_seeds_within_the_bounds() -> None:
    """The 100 % model here is a quarter less harmful than the base: not the half that is asked."""
    lines = preconditions({"aligned": scores(EXPERTS, noise=0.001)}).splitlines()
    ends = {line.split("|")[2].strip(): line.split("|")[-2].strip() for line in lines[2:]}
    assert ends == {"sft-0": "3 of 3", "sft-15": "–", "sft-100": "0 of 3"}


def test_chosen_merges_are_compared_with_the_mix_and_with_slerp() -> None:
    """The mean of four stands last; SLERP's balance is compared with each other method."""
    merges = {f"sft-{m}": (0.65, 0.45) for m in ("linear", "slerp", "ties")}
    world = scores(EXPERTS | merges | {"sft-dare-ties": (0.65, 0.65)})
    rows = {line.split("|")[1].strip(): line for line in chosen_points(world).splitlines()[2:]}
    assert rows["all four"].startswith("| all four | +5.0 (")
    assert rows["all four"].endswith("| – |")
    assert rows["dare-ties"].split("|")[5].strip().startswith("+20.")


def test_a_path_that_falls_at_once_is_a_cliff() -> None:
    """An even path takes a tenth of the fall a step; one that falls in one step of 0.2, half."""
    base = {"base": (0.5, 0.8)}
    even = {f"even-{weight}": line(weight) for weight in WEIGHTS}
    steep = {f"steep-{weight}": line(0.0 if weight < 0.4 else 1.0) for weight in WEIGHTS}
    world = scores(base | even | steep)
    for name, share in (("even", 0.1), ("steep", 0.5)):
        found = steepest(world, {weight: f"{name}-{weight}" for weight in WEIGHTS})
        assert found == pytest.approx({"win rate": share, "harm rate": share}, abs=0.01)
