"""Sizes: what labels buy is what the corrected interval becomes, and the fewest are the fewest."""

from dataclasses import replace

import numpy as np
import pytest
from tests.annotation.conftest import Make, material, noisy
from tests.evaluation.calibration.conftest import GOOD

from mixmerge.annotation.draw import JudgeRates, allocate, strata
from mixmerge.annotation.sizes import Draw, fewest, said, whole_variance
from mixmerge.annotation.task import DRAWN, read_task
from mixmerge.errors import SpecError
from mixmerge.evaluation.calibration.correct import corrected
from mixmerge.evaluation.calibration.labels import Drawn, Labels
from mixmerge.evaluation.calibration.material import Material, evidence
from mixmerge.files import read_rows
from mixmerge.records import Outcome

RIGHT = JudgeRates(0.8, 0.9)
"""The rates of `noisy`."""


def drawn(found: Material, judged: JudgeRates = RIGHT, labels: float | None = None) -> Draw:
    """Return a draw from one material."""
    parts = strata(found, judged)
    return Draw(parts, allocate(parts, labels), {found.axis: whole_variance(found, judged)})


def alike(found: Material) -> Material:
    """Return the material with the same truth in both languages, judged apart."""
    answers = {}
    for name, rows in found.answers.items():
        first = {
            row.prompt.split("-")[0]: GOOD if GOOD in row.text else "poor" for row in rows.values()
        }
        answers[name] = {
            key: row.model_copy(update={"text": f"{first[key.split('-')[0]]} {key} {name}"})
            for key, row in rows.items()
        }
    made = replace(found, answers=answers)
    asked = {name: made.ask(found.judge, name, found.prompts) for name in found.models}
    return replace(made, verdicts=asked)


@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize("labels", [200, 480])
def test_the_expected_width_is_what_labels_give(copies: bool, labels: int) -> None:
    """Also where prompts of one source are alike, which more labels do not mend."""
    widths, promised = [], []
    for seed in range(5):
        found = material("harm", 100, noisy(seed))
        found = alike(found) if copies else found
        draw = drawn(found, labels=labels)
        rng = np.random.default_rng(seed)
        chosen = {
            each.prompts[place].id
            for each, count in zip(draw.strata, draw.counts, strict=True)
            for place in rng.permutation(len(each.prompts))[:count]
        }
        given: dict[tuple[str, str], dict[str, Outcome]] = {
            (name, prompt): {"anna": "yes" if GOOD in found.text(name, prompt) else "no"}
            for name in found.models
            for prompt in chosen
        }
        stratum = {prompt.id: each.name for each in draw.strata for prompt in each.prompts}
        rates, _ = corrected({"harm": evidence(found, Labels("anna", given, stratum))}, ())
        ends = [rate.ppi.ci for rate in rates if rate.ppi and rate.ppi.ci]
        widths += [high - low for low, high in ends]
        half = draw.half_width()["harm"]
        assert half is not None
        promised.append(2 * half)
    assert np.mean(widths) == pytest.approx(np.mean(promised), rel=0.12)


def test_the_fewest_labels_are_enough_and_one_fewer_is_not() -> None:
    """For a half-width between that of some labels and that of all."""
    draw = drawn(material("harm", 100, noisy(1)))
    every = draw.half_width()["harm"]
    assert every is not None
    few = fewest(draw, 1.2 * every)

    def half(labels: float) -> float:
        found = replace(draw, counts=allocate(draw.strata, labels)).half_width()["harm"]
        return np.inf if found is None else found

    assert half(few) <= 1.2 * every < half(few - 1)
    with pytest.raises(SpecError, match=r"--half-width 1: labels of all 600 .* give harm ±"):
        fewest(draw, 0.01)


def test_rare_outcomes_are_expected_to_give_no_interval() -> None:
    """Of 40 labelled prompts too few are expected to be harmful; of 400 there are enough."""
    found = material("harm", 200, noisy(2), (0.08, 0.08, 0.08))
    assert drawn(found, labels=120).half_width() == {"harm": None}
    assert drawn(found).half_width()["harm"] is not None
    assert said(None) == "no interval"
    assert said(0.034) == "±3.4 points"


def test_without_verdicts_the_safe_side_is_told() -> None:
    """Prompts of one source count as one, and nothing is known of the answers."""
    found = replace(material("harm", 20), verdicts={})
    assert whole_variance(found, JudgeRates()) == pytest.approx(0.25 / 40 * 2)


def test_the_plan_says_what_more_and_fewer_labels_buy(task: Make) -> None:
    """A half-width is kept, sizes ascend to all answers, and overlap counts."""
    found = material("harm", 100, noisy(1))
    folder = task([found], "anna", "ben", overlap=0.5, half_width=0.1, judged={"harm": RIGHT})
    plan, _ = read_task(folder)
    assert plan.size in plan.sizes
    half = [size.half_width["harm"] or 1 for size in plan.sizes]
    assert half == sorted(half, reverse=True)
    assert plan.sizes[-1].labels == 900
    assert 0.095 < (plan.size.half_width["harm"] or 1) <= 0.1
    asked = sum(each.drawn for each in plan.strata)
    assert len({row.prompt for row in read_rows(folder / DRAWN, Drawn)}) == 200
    assert plan.size.labels == pytest.approx(1.5 * 3 * asked, abs=1)
