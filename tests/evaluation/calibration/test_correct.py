"""Corrected rates and contrasts against the truth, which the toy world knows for every answer."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.evaluation.calibration.conftest import MakeMaterial, Scripted, is_good

from mixmerge.evaluation.calibration.calibrate import calibrate
from mixmerge.evaluation.calibration.labels import CalibrateSpec, Label
from mixmerge.files import write_rows
from mixmerge.records import Outcome
from mixmerge.records.judge_card import CheckedContrast
from mixmerge.records.results import Contrast

SPEC = CalibrateSpec(rules="testbed", questions=60, probes=0)


def contrast(a: str, b: str, difference: float, half: float = 0.05) -> Contrast:
    return Contrast(
        a=a,
        b=b,
        axis="harm",
        difference=difference,
        ci=(difference - half, difference + half),
        p=0.001,
        p_adjusted=0.001,
        n=150,
    )


def harsh(text: str) -> Outcome:
    """Calls many harmless answers harmful: those whose id ends in certain digits."""
    return "yes" if "5-" in text or "3-" in text or "8-" in text else is_good(text)


def test_corrections_find_the_rate_that_the_judge_misses(make_material: MakeMaterial) -> None:
    """Both corrected rates hold the true one; the judge's own is far off."""
    material = make_material("harm", Scripted(reads=harsh), judged=True, questions=150)
    card = calibrate(SPEC, [material], rules=Scripted())
    assert [rate.model for rate in card.corrected] == ["base", "first", "second"]
    for rate in card.corrected:
        truth = [is_good(answer.text) == "yes" for answer in material.answers[rate.model].values()]
        true = sum(truth) / len(truth)
        assert rate.raw is not None
        assert rate.raw > true + 0.1
        for found in (rate.ppi, rate.rogan_gladen):
            assert found is not None
            assert found.ci is not None
            assert found.ci[0] < true < found.ci[1]
            assert found.ci[1] < rate.raw
        assert rate.labelled == 120


def test_everything_labelled_is_the_truth(make_material: MakeMaterial) -> None:
    """With labels on all answers PPI++ is the true rate, whatever the judge said."""
    material = make_material("harm", Scripted(reads=harsh), judged=True, questions=60)
    card = calibrate(SPEC, [material], rules=Scripted())
    truth = [is_good(answer.text) == "yes" for answer in material.answers["first"].values()]
    found = card.corrected[1].ppi
    assert found is not None
    assert found.value == pytest.approx(sum(truth) / len(truth))


def test_the_measure_says_what_verdicts_and_labels_are_worth(make_material: MakeMaterial) -> None:
    """A measure that counts the harmless answers is corrected towards their true share."""
    material = make_material("harm", Scripted(reads=harsh), judged=True, questions=60)
    harmless = replace(material, worth=lambda verdict: float(verdict.outcome == "no"))
    cards = [calibrate(SPEC, [one], rules=Scripted()) for one in (material, harmless)]
    for harm, rest in zip(cards[0].corrected, cards[1].corrected, strict=True):
        assert harm.raw is not None
        assert rest.raw == pytest.approx(1 - harm.raw)
        assert harm.ppi is not None
        assert rest.ppi is not None
        assert rest.ppi.value == pytest.approx(1 - harm.ppi.value)


def test_win_rates_are_corrected_without_rogan_gladen(make_material: MakeMaterial) -> None:
    """A win rate has three outcomes, so only PPI++ applies; a judge that always ties is undone."""
    judge = Scripted(prefers=lambda *_: "TIE")
    material = make_material("quality", judge, judged=True, questions=150, shares=(0.3, 0.7, 0.3))
    card = calibrate(SPEC, [material], rules=Scripted())
    first, second = card.corrected
    assert (first.raw, second.raw) == (0.5, 0.5)
    assert first.ppi is not None
    assert second.ppi is not None
    assert first.ppi.ci is not None
    assert first.ppi.ci[0] > 0.6
    assert second.ppi.value == pytest.approx(0.5, abs=0.1)
    assert first.rogan_gladen is None


def checked(make_material: MakeMaterial, judge: Scripted, found: Contrast) -> CheckedContrast:
    material = make_material("harm", judge, judged=True, questions=150, shares=(0.5, 0.6, 0.3))
    card = calibrate(SPEC, [material], rules=Scripted(), contrasts=[found])
    return card.contrasts[0]


def test_a_conclusion_that_the_labels_bear_out_holds(make_material: MakeMaterial) -> None:
    """A real difference stays on its side of zero."""
    found = checked(make_material, Scripted(), contrast("first", "second", 0.3))
    assert found.verdict == "holds"
    assert found.corrected is not None
    assert found.corrected.value == pytest.approx(0.3, abs=0.08)
    assert found.note == ""


def test_a_conclusion_made_by_the_judge_is_reversed(make_material: MakeMaterial) -> None:
    """A judge that is harsh to one model makes a difference; the card says it is the judge's."""
    unfair = Scripted(reads=lambda text: "yes" if " 2 q" in text else is_good(text))
    found = checked(make_material, unfair, contrast("first", "second", -0.4))
    assert found.verdict == "reversed"
    assert found.note.startswith(
        "first against second: by the judge the share of harmful answers changes by -40.0 points; "
        "corrected"
    )
    assert found.note.endswith("This conclusion could be the judge's error.")


def test_a_conclusion_within_the_judges_error_is_unsure(make_material: MakeMaterial) -> None:
    """Where the corrected interval holds zero, the conclusion may be the judge's."""
    unfair = Scripted(reads=lambda text: "no" if " 1 q" in text else is_good(text))
    material = make_material("harm", unfair, judged=True, questions=150, shares=(0.5, 0.32, 0.3))
    card = calibrate(
        SPEC,
        [material],
        rules=Scripted(),
        contrasts=[contrast("first", "second", -0.3), contrast("first", "base", 0.01)],
    )
    assert [found.verdict for found in card.contrasts] == ["unsure", "unclear"]
    assert len(card.warnings) >= 1
    assert card.warnings[0] == card.contrasts[0].note


def test_too_few_labels_leave_a_conclusion_unchecked(make_material: MakeMaterial) -> None:
    """With ten labelled questions there is a corrected value but no interval, and a reason."""
    material = make_material("harm", Scripted(), judged=True)
    few = SPEC.model_copy(update={"questions": 10})
    card = calibrate(
        few, [material], rules=Scripted(), contrasts=[contrast("first", "second", 0.3)]
    )
    assert card.contrasts[0].verdict == "unchecked"
    assert "fewer than 15 labelled source prompts" in card.contrasts[0].note
    assert card.corrected[0].note == card.contrasts[0].note
    assert card.corrected[0].ppi is not None
    assert card.corrected[0].ppi.ci is None


def test_one_label_in_a_language_is_named_as_the_reason(
    make_material: MakeMaterial, tmp_path: Path
) -> None:
    """Many labels in one language do not show how much another one varies."""
    material = make_material("harm", Scripted(), judged=True)
    rows = [
        Label(model=name, axis="harm", prompt=answer.prompt, outcome=is_good(answer.text))
        for name, answers in material.answers.items()
        for answer in answers.values()
        if answer.prompt.endswith("-en") or answer.prompt == "q0-fr"
    ]
    write_rows(tmp_path / "labels.jsonl", rows)
    spec = CalibrateSpec(labels=tmp_path / "labels.jsonl", probes=0)
    card = calibrate(spec, [material])
    assert (
        card.corrected[0].note
        == "No interval: a language or stratum has labels on only one source prompt"
    )


def test_a_judge_that_has_not_judged_everything_corrects_nothing(
    make_material: MakeMaterial,
) -> None:
    """A trial ahead of the evaluation has no rates to correct."""
    card = calibrate(SPEC, [make_material("harm", Scripted())], rules=Scripted())
    assert (card.corrected, card.contrasts) == ((), ())
