"""Tests of mixmerge.study.power: what a study can show, from assumptions and from pilots."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mixmerge.errors import SpecError
from mixmerge.stats.power import discordant, effective_size, smallest_difference
from mixmerge.study.power import ContrastPower, power
from mixmerge.study.power_inputs import Assumed

Pretend = Callable[[Path, Path], None]
Judged = Callable[..., Path]

SMALL = Path(__file__).parents[1] / "data" / "small.yaml"
RATES = {"base": 0.8, "sft-0": 0.5, "sft-15": 0.4, "sft-dare-ties": 0.6}
FEW = Assumed(studies=150)
JUDGE = (
    "{endpoint: 'http://127.0.0.1:9/v1', model: some-judge, max_tokens: 100, "
    "price: {input: 2, output: 10}}"
)


def by_axis(found: list[ContrastPower]) -> dict[str, ContrastPower]:
    return {each.axis: each for each in found}


def test_stated_rates(tmp_path: Path) -> None:
    """Every deciding axis has the size of its prompts, and a difference like the formula's."""
    found = power(SMALL, tmp_path, FEW)
    assert found.tests == 2
    own = by_axis(found.contrasts)
    assert list(own) == ["general", "safety"]
    assert (own["general"].prompts, own["general"].clusters) == (208, 104)
    for each in own.values():
        size = effective_size(each.prompts, each.clusters)
        assert each.smallest == pytest.approx(smallest_difference(size, discordant(), 2), rel=0.15)
        assert each.pair is None
    again = power(SMALL, tmp_path, FEW)
    assert repr(found) == repr(again)
    assert repr(power(SMALL, tmp_path, FEW, seed=9)) != repr(found)


def test_a_wanted_difference_has_a_size_and_a_price(tmp_path: Path) -> None:
    """Calls are those of all models on so many prompts, in both orders for comparisons."""
    study = tmp_path / "priced.yaml"
    study.write_text(SMALL.read_text().replace("{rules: testbed}", JUDGE))
    asked = replace(FEW, differences={None: 0.2, "safety": 0.1}, prompts={"general": (100, 2)})
    own = by_axis(power(study, tmp_path / "run", asked).contrasts)
    general, safety = own["general"].needed, own["safety"].needed
    assert general is not None
    assert safety is not None
    assert (general.difference, safety.difference) == (0.2, 0.1)
    assert general.prompts is not None
    assert safety.prompts is not None
    assert general.calls == general.prompts * 2 * 5
    assert safety.calls == safety.prompts * 6
    assert safety.dollars == pytest.approx(safety.calls * ((800 + 24) * 2 + 100 * 10) / 1e6)
    assert general.power > 0.8 > safety.power
    assert general.prompts < 200 < safety.prompts


def test_a_judge_that_errs_needs_more(tmp_path: Path) -> None:
    """Half of a difference is left by a judge of .75 and .75: four times the prompts, and noise."""
    one, other = (
        by_axis(power(SMALL, tmp_path, replace(FEW, **judge)).contrasts)["general"].smallest
        for judge in (dict[str, Any](), {"sensitivity": 0.75, "specificity": 0.75})
    )
    assert one is not None
    assert other is not None
    assert other > 2 * one


def test_a_judge_card_has_the_errors(tmp_path: Path) -> None:
    """The card's sensitivity and specificity count as if they had been stated."""
    rate: dict[str, Any] = {"ci": None, "n": 50}
    accuracy: dict[str, Any] = {"n": 50, "missing": 0, "prevalence": 0.5, "agreement": None}
    accuracy |= {"sensitivity": rate | {"value": 0.9}, "specificity": rate | {"value": 0.8}}
    trial: dict[str, Any] = {"judge": "j", "truth": "anna", "grade": "usable", "accuracy": accuracy}
    trial |= {"confusion": {}, "by_language": {}, "by_category": {}}
    trial |= dict.fromkeys(("youden", "kappa", "alpha", "length_slope"))
    card = {"schema": 2, "seed": 0, "questions": 50, "axes": {"general": trial, "safety": trial}}
    (tmp_path / "judge_card.json").write_text(json.dumps(card))
    by_card = power(SMALL, tmp_path / "run", replace(FEW, card=tmp_path))
    asked = replace(FEW, sensitivity=0.9, specificity=0.8)
    assert by_card.contrasts == power(SMALL, tmp_path / "run", asked).contrasts
    assert any("show 70% of a true difference" in line for line in by_card.assumptions)
    (tmp_path / "judge_card.json").write_text("{}")
    with pytest.raises(SpecError, match=r"judge_card\.json: is no judge card"):
        power(SMALL, tmp_path / "run", replace(FEW, card=tmp_path))


def test_a_pilot_of_models_that_differ_little_shows_more(tmp_path: Path, judged: Judged) -> None:
    """Contrasts are named, and drawn from the pilot; one that it lacks takes the widest."""
    root = judged(SMALL, tmp_path / "pilot", RATES, questions=100)
    study = tmp_path / "study.yaml"
    merge = "  sft-mean: {merge: {method: linear, models: [sft-0, sft-100]}}\n"
    study.write_text(SMALL.read_text().replace("\nevaluate:", merge + "\nevaluate:"))
    found = power(study, tmp_path / "run", replace(FEW, pilots=(root,)))
    pairs = [each.pair for each in found.contrasts]
    assert pairs == [(a, "sft-15") for a in ("sft-dare-ties", "sft-mean") for _ in range(2)]
    assert found.tests == 4
    assert any("1 of 2 pairs are not in the pilot" in line for line in found.assumptions)
    # Independent answers differ on half of the prompts, twice as much as is assumed.
    assert all(each.smallest is not None and each.smallest > 0.14 for each in found.contrasts)


def test_seeds_cost_more_than_prompts(tmp_path: Path, judged: Judged) -> None:
    """A claim about recipes needs a larger difference than one about two checkpoints."""
    runs = [
        judged(SMALL, tmp_path / str(s), RATES | {"sft-dare-ties": 0.4 + 0.15 * s}, seed=s)
        for s in (1, 2)
    ]
    asked = replace(FEW, pilots=runs, seeds=4, differences={None: 0.1})
    (general, _) = power(SMALL, tmp_path / "run", asked).contrasts
    assert general.over_seeds is not None
    assert general.smallest is not None
    assert general.over_seeds > general.smallest
    assert general.needed is not None
    assert general.needed.prompts is None
    assert "with 4 seeds no number of prompts shows it" in general.needed.why


def test_prompts_that_are_not_here_must_be_stated(tmp_path: Path) -> None:
    """The number of a published set's prompts is not guessed."""
    study = SMALL.parents[2] / "examples" / "aya23_8b.yaml"
    with pytest.raises(SpecError, match=r"run `--only prompts/\w+` first, or say it: `--prompts"):
        power(study, tmp_path, FEW)


WRONG = [
    ({"rates": {"safety": 1.0}}, "--rate safety=1: a number between 0 and 1 is required"),
    ({"rates": {"speed": 0.5}}, "speed: is no deciding axis; there are `general`, `safety`"),
    ({"rates": {"over_refusal": 0.5}}, "over_refusal: is no deciding axis"),
    ({"correlation": 1.0}, "--correlation 1: a number from 0 to below 1"),
    ({"correlation": float("nan")}, "--correlation nan: a number from 0"),
    ({"within": -0.1}, "--within -0.1: a number from 0 to 1"),
    ({"sensitivity": 1.5}, "--sensitivity 1.5: a number from 0 to 1"),
    ({"sensitivity": 0.4, "specificity": 0.6}, "is no better than a coin: no number of prompts"),
    ({"differences": {None: 0.0}}, "--difference 0: a number above 0"),
    ({"differences": {None: 5.0}}, r"--difference 5: .* For 5 points write 0\.05"),
    ({"differences": {None: float("nan")}}, "--difference nan: a number above 0"),
    ({"rates": {"general": 0.99, "safety": 0.02}, "differences": {None: 0.1}}, "no size shows it"),
    ({"prompts": {"general": (5, 6)}}, "--prompts general=5x6: at least 10 source questions"),
    ({"prompts": {"general": (10**9, 1)}}, "at most 1,000,000 prompts are required"),
    ({"seeds": 3}, r"--seeds 3: .* in two or more runs .* \(seen: 0\)"),
    ({"seeds": 0}, "--seeds 0: at least 1"),
    ({"studies": 5}, "--studies 5: at least 100 is"),
    ({"card": Path("none.json")}, "none.json: no such file"),
    ({"card": Path("none.json"), "sensitivity": 0.9}, "leave --sensitivity and --specificity out"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_is_impossible_is_refused(wrong: dict[str, object], said: str, tmp_path: Path) -> None:
    """One message says which assumption is impossible, what is required and what was seen."""
    asked = replace(FEW, **wrong)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=said):
        power(SMALL, tmp_path, asked)


def test_one_seed_is_refused_where_seeds_are_asked_about(tmp_path: Path, judged: Judged) -> None:
    """One pilot does not show how much seeds differ."""
    root = judged(SMALL, tmp_path / "pilot", RATES)
    with pytest.raises(SpecError, match=r"--seeds 3: .* \(seen: 1\)"):
        power(SMALL, tmp_path / "run", replace(FEW, pilots=(root,), seeds=3))
