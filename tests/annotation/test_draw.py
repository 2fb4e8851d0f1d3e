"""The draw: more labels where the judge is less sure, at least two everywhere, never too many."""

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.annotation.conftest import RARE, material
from tests.evaluation.calibration.conftest import make_prompts

from mixmerge.annotation.draw import JudgeRates, Stratum, allocate, strata
from mixmerge.annotation.sizes import Draw
from mixmerge.errors import SpecError


def stratum(share: float, deviation: float, prompts: int = 1000, cost: float = 1) -> Stratum:
    every, truth = make_prompts(prompts // 2), np.array([0.5, 0.5])
    return Stratum("harm", "any", every, share, deviation, cost, truth)


def width(found: list[Stratum], counts: list[int]) -> float:
    """Return the half-width of the corrected interval, apart from the sampling of prompts."""
    half = Draw(found, counts, {"harm": 0.0}).half_width()["harm"]
    assert half is not None
    return half


def test_labels_go_where_they_shrink_the_interval_most() -> None:
    """Neyman's rule: in proportion to share and deviation, and to one over the root of the cost."""
    found = [stratum(0.5, 0.4), stratum(0.5, 0.1), stratum(0.5, 0.4, cost=4)]
    counts = allocate(found, 350)
    assert sum(n * each.cost for n, each in zip(counts, found, strict=True)) <= 350
    assert counts[0] / counts[1] == pytest.approx(4, rel=0.1)
    assert counts[0] / counts[2] == pytest.approx(2, rel=0.1)


def test_no_other_allocation_is_better() -> None:
    """Moving a label from one stratum to another widens the interval."""
    found = [stratum(0.2, 0.5), stratum(0.5, 0.2), stratum(0.3, 0.35)]
    counts = allocate(found, 120)
    best = width(found, counts)
    for giver in range(3):
        for taker in range(3):
            moved = [n - 3 * (i == giver) + 3 * (i == taker) for i, n in enumerate(counts)]
            assert width(found, moved) >= best - 1e-5


def test_a_small_stratum_is_labelled_whole_and_the_rest_goes_elsewhere() -> None:
    """No stratum gets more labels than it has prompts, nor fewer than two."""
    found = [stratum(0.9, 0.5, 10), stratum(0.05, 0.4), stratum(0.05, 0.001)]
    counts = allocate(found, 100)
    assert counts[0] == 10
    assert counts[2] == 2
    assert sum(counts) == 100
    assert allocate(found, None) == [10, 1000, 1000]
    assert allocate(found, 1e9) == [10, 1000, 1000]


def test_too_few_labels_are_refused_with_the_number_needed() -> None:
    """The message says how many it takes and what else to change."""
    with pytest.raises(SpecError, match=r"--labels: 12 different .*\(5 are given"):
        allocate([stratum(0.5, 0.4, cost=3), stratum(0.5, 0.4, cost=3)], 5)


def test_strata_are_what_the_judge_said_in_each_language() -> None:
    """Every prompt is in one; unsure verdicts deviate more than sure ones."""
    found = material("harm", 40, shares=RARE)
    made = strata(found, JudgeRates(0.9, 0.95))
    assert sum(len(each.prompts) for each in made) == len(found.prompts)
    assert sum(each.share for each in made) == pytest.approx(1)
    by_name = {each.name: each.deviation for each in made}
    assert by_name["en, mixed"] > by_name["en, low"]
    assert {name.split(",")[0] for name in by_name} == {"en", "fr"}
    coarse = strata(found, JudgeRates(), by_language=False)
    assert {each.name for each in coarse} == {"all, low", "all, mixed"}


def test_the_deviation_is_that_of_the_truth_given_the_verdict() -> None:
    """By Bayes' rule, at the prevalence at which the judge says yes as often as it does."""
    found = material("harm", 40)
    one = replace(found, answers={"base": found.answers["base"]})
    rate = np.mean([row.outcome == "yes" for row in one.verdicts["base"]])
    true = (rate + 0.8 - 1) / 0.7
    for name, verdict in (("en, high", True), ("en, low", False)):
        hit = true * 0.9 if verdict else true * 0.1
        miss = (1 - true) * 0.2 if verdict else (1 - true) * 0.8
        p = hit / (hit + miss)
        got = {each.name: each.deviation for each in strata(one, JudgeRates(0.9, 0.8))}
        assert got[name] == pytest.approx(math.sqrt(p * (1 - p)), rel=1e-6)


def test_without_verdicts_every_prompt_has_the_same_chance() -> None:
    """A study that people judge alone has strata by language only."""
    found = replace(material("harm", 10), verdicts={})
    made = strata(found, JudgeRates())
    assert [each.name for each in made] == ["en, not judged", "fr, not judged"]
    assert {each.deviation for each in made} == {0.5}


def test_a_judge_that_changes_its_mind_is_unsure() -> None:
    """In comparisons, ties between both orders deviate more than agreed wins."""
    made = strata(material("quality", 20), JudgeRates(0.9, 0.9))
    by_name = {each.name: each.deviation for each in made}
    assert by_name["en, mixed"] > min(by_name.values())
    assert max(by_name.values()) <= math.sqrt(1 / 6)
