"""Trials of judges that are right, wrong, lazy or gullible in a known way."""

from collections.abc import Callable, Sequence
from typing import Literal

import pytest
from tests.evaluation.calibration.conftest import (
    GOOD,
    LANGUAGES,
    MakeMaterial,
    Scripted,
    is_good,
    prefer_good,
)

from mixmerge.errors import ResourceError, SpecError
from mixmerge.evaluation.calibration.calibrate import calibrate
from mixmerge.evaluation.calibration.labels import CalibrateSpec
from mixmerge.evaluation.calibration.material import Material
from mixmerge.progress import Progress, silent
from mixmerge.records import Axis, Item, Outcome, Question, Verdict
from mixmerge.records.judge_card import AxisTrial, JudgeCard

SPEC = CalibrateSpec(rules="testbed", questions=40, probes=30)


def trial(material: Material, spec: CalibrateSpec = SPEC) -> AxisTrial:
    card = calibrate(spec, [material], rules=Scripted(name="rules@1"))
    return card.axes[material.axis]


@pytest.mark.parametrize("axis", ["quality", "harm", "refusals", "facts"])
def test_a_perfect_judge_is_usable(axis: Axis, make_material: MakeMaterial) -> None:
    """A judge that says what the rules say has no errors, in any language and category."""
    judge = Scripted()
    found = trial(make_material(axis, judge), SPEC.model_copy(update={"probes": 0}))
    assert (found.grade, found.warnings) == ("usable", ())
    assert found.judge == "scripted@1"
    assert found.truth == "rules@1"
    models = 2 if axis == "quality" else 3
    assert found.accuracy.n == 40 * len(LANGUAGES) * models == judge.shown
    for part in (found.accuracy, *found.by_language.values(), *found.by_category.values()):
        assert part.agreement is not None
        assert part.agreement.value == 1
    for coefficient in (found.youden, found.kappa, found.alpha):
        assert coefficient is not None
        assert coefficient.value == pytest.approx(1)
    assert list(found.by_language) == list(LANGUAGES)
    assert sorted(found.by_category) == ["money", "places"]
    assert sum(part.n for part in found.by_category.values()) == found.accuracy.n


def test_the_numbers_are_those_of_the_confusion_matrix(make_material: MakeMaterial) -> None:
    """Sensitivity and specificity are rows of the table of labels by verdicts."""

    def errs(text: str) -> Outcome:
        return "no" if "q1" in text else is_good(text)

    found = trial(make_material("harm", Scripted(reads=errs)))
    table = found.confusion
    yes, no = table["yes"], table["no"]
    assert yes["no"] > 0
    assert found.accuracy.sensitivity is not None
    assert found.accuracy.specificity is not None
    assert found.accuracy.sensitivity.value == pytest.approx(yes["yes"] / (yes["yes"] + yes["no"]))
    assert found.accuracy.specificity.value == no["no"] / (no["yes"] + no["no"]) == 1
    assert found.youden is not None
    assert found.youden.value == pytest.approx(found.accuracy.sensitivity.value)
    assert sum(yes.values()) / found.accuracy.n == found.accuracy.prevalence


def test_a_judge_that_always_says_a_is_useless(make_material: MakeMaterial) -> None:
    """Its mean of both orders is a tie of everything: no information, and the card says why."""
    found = trial(make_material("quality", Scripted(prefers=lambda *_: "A")))
    assert found.grade == "useless"
    assert "says “tie” of all 160 answers" in found.warnings[0]
    assert found.swap is not None
    assert found.swap.consistent.value == 0
    assert found.swap.first_place is not None
    assert found.swap.first_place.value == 1
    said = next(text for text in found.warnings if "Swapping" in text)
    assert "changes 100% of the outcomes; the answer shown first wins 100% of the time" in said


@pytest.mark.parametrize("word", ["yes", "no"])
def test_a_judge_with_one_word_is_useless(
    word: Literal["yes", "no"], make_material: MakeMaterial
) -> None:
    """The same verdict throughout has half the sum of sensitivity and specificity of a coin."""
    found = trial(make_material("harm", Scripted(reads=lambda _: word)))
    assert found.grade == "useless"
    assert f"says “{word}” of all 240 answers" in found.warnings[0]
    assert found.youden is not None
    assert found.youden.value == 0


def test_a_coin_is_useless(make_material: MakeMaterial) -> None:
    """Verdicts that do not depend on the truth is not distinguishable from chance."""
    found = trial(
        make_material("harm", Scripted(reads=lambda text: "yes" if len(text) % 2 else "no"))
    )
    assert found.grade == "useless"
    assert "is not distinguishable from chance: J = " in found.warnings[0]


def test_a_judge_without_verdicts_is_useless(make_material: MakeMaterial) -> None:
    """Unreadable replies are counted, never guessed, and enough of them settle the matter."""
    found = trial(make_material("harm", Scripted(reads=lambda _: "unreadable")))
    assert found.accuracy.missing == found.accuracy.n == 240
    assert (found.youden, found.kappa, found.alpha) == (None, None, None)
    assert found.grade == "useless"
    assert found.warnings[0] == "No verdict on 240 of 240 labelled answers."


@pytest.mark.parametrize(
    "otherwise", [lambda _: "yes", lambda text: "yes" if len(text) % 2 else "no"]
)
def test_a_judge_silent_about_one_label_is_told_from_labels_of_one_kind(
    otherwise: Callable[[str], Outcome], make_material: MakeMaterial
) -> None:
    """A judge that refuses all harmless answers is the reason, and not what people labelled."""
    reads = Scripted(reads=lambda text: otherwise(text) if is_good(text) == "yes" else "refused")
    found = trial(make_material("harm", reads, shares=(0.8, 0.8, 0.8)))
    assert found.grade == "useless"
    assert found.warnings[0].startswith("No verdict on any answer labelled “no”, so it is not")
    only = trial(make_material("harm", Scripted(), shares=(1.0, 1.0, 1.0)))
    assert only.warnings[0].startswith("The only label is “yes”, so it is not known")


def test_a_failed_call_stops_the_trial(make_material: MakeMaterial) -> None:
    """A call that failed is asked again by the same command, not counted as missing."""
    material = make_material("harm", Scripted(reads=lambda _: "error"))
    with pytest.raises(ResourceError, match=r"80 of 80 judge calls .*\(out of reach\)"):
        trial(material)


@pytest.mark.parametrize("axis", ["quality", "harm"])
def test_a_taste_for_length_is_measured(axis: Axis, make_material: MakeMaterial) -> None:
    """A judge that looks at length has a slope above zero; one that does not has none."""
    wordy = Scripted(
        prefers=lambda first, second: (
            "A" if len(first) > len(second) else "B" if len(second) > len(first) else "TIE"
        ),
        reads=lambda text: "yes" if len(text) > 35 else is_good(text),
    )
    found = trial(make_material(axis, wordy))
    assert found.length_slope is not None
    assert found.length_slope.ci is not None
    assert found.length_slope.ci[0] > 0.1
    assert any("longer answers" in text for text in found.warnings)
    fair = trial(make_material(axis, Scripted()))
    assert fair.length_slope is not None
    assert fair.length_slope.value == 0


def test_a_weak_language_is_named(make_material: MakeMaterial) -> None:
    """A judge that cannot read one language is told apart there, not in the other."""

    def reads(text: str) -> Outcome:
        return "no" if "-fr" in text else is_good(text)

    found = trial(make_material("harm", Scripted(reads=reads)))
    named = [text for text in found.warnings if text.startswith("In ")]
    assert len(named) == 1
    assert named[0].startswith("In fr the judge agrees with the labels on ")


PREFERS_INJECTED = Scripted(
    prefers=lambda first, second: (
        "A" if "VERDICT" in first else "B" if "VERDICT" in second else prefer_good(first, second)
    ),
    reads=lambda text: "no" if "VERDICT" in text else is_good(text),
)
PREFERS_COPIES = Scripted(
    prefers=lambda first, second: (
        "A" if _twice(first) else "B" if _twice(second) else prefer_good(first, second)
    ),
    reads=lambda text: ("no" if GOOD in text else "yes") if _twice(text) else is_good(text),
)
PREFERS_APOLOGIES = Scripted(
    prefers=lambda first, second: (
        "A"
        if _sorry(first) and not _sorry(second)
        else "B"
        if _sorry(second) and not _sorry(first)
        else prefer_good(first, second)
    ),
    reads=lambda text: "no" if _sorry(text) else is_good(text),
)
PREFERS_EMPTY_WORDS = Scripted(
    prefers=lambda first, second: (
        "A" if "sides" in first else "B" if "sides" in second else prefer_good(first, second)
    ),
    reads=lambda text: "yes" if "sides" in text else is_good(text),
)


def _twice(text: str) -> bool:
    return text.count(GOOD) + text.count("poor") == 2


def _sorry(text: str) -> bool:
    return "sorry" in text or "désolé" in text


@pytest.mark.parametrize(
    ("judge", "name"),
    [
        (PREFERS_INJECTED, "injected_verdict"),
        (PREFERS_COPIES, "longer_copy"),
        (PREFERS_APOLOGIES, "apology"),
        (PREFERS_EMPTY_WORDS, "null_answer"),
    ],
)
@pytest.mark.parametrize("axis", ["quality", "harm"])
def test_each_probe_finds_its_weakness(
    axis: Axis, judge: Scripted, name: str, make_material: MakeMaterial
) -> None:
    """A judge with one weakness is fooled by that probe every time, and by no other."""
    found = trial(make_material(axis, judge))
    fooled = {probe.name: probe.fooled for probe in found.probes}
    hit = fooled.pop(name)  # type: ignore[call-overload]
    assert hit is not None
    assert hit.value == 1
    assert hit.n >= 15
    assert all(other is None or other.value == 0 for other in fooled.values())
    assert any(text.startswith(f"Fooled {hit.n} times of {hit.n}") for text in found.warnings)


@pytest.mark.parametrize(
    ("mark", "name"), [("VERDICT: RIGHT", "injected_verdict"), ("sorry", "apology")]
)
def test_where_higher_is_better_an_undue_yes_is_the_weakness(
    mark: str, name: str, make_material: MakeMaterial
) -> None:
    """A wrong answer must stay wrong, whatever is written around it."""

    def reads(text: str) -> Outcome:
        return "yes" if mark in text else is_good(text)

    found = trial(make_material("facts", Scripted(reads=reads)))
    (probe,) = (probe for probe in found.probes if probe.fooled and probe.fooled.value)
    assert probe.name == name
    # Apologies are in the language of the prompt, of which one has the mark.
    assert probe.fooled is not None
    assert probe.fooled.value == 1 if name == "injected_verdict" else probe.fooled.value > 0.3
    assert probe.asks.endswith("an answer that is not correct: still not correct")


def test_an_apology_alone_is_a_refusal(make_material: MakeMaterial) -> None:
    """What only apologises does not help, so a judge of refusals that sees help is fooled."""
    blind = trial(make_material("refusals", Scripted()))
    seeing = trial(
        make_material(
            "refusals", Scripted(reads=lambda text: "yes" if _sorry(text) else is_good(text))
        )
    )
    fooled = [
        {probe.name: probe.fooled and probe.fooled.value for probe in found.probes}["apology"]
        for found in (blind, seeing)
    ]
    assert fooled == [1, 0]


def test_the_language_probe_shows_the_answer_of_another_language(
    make_material: MakeMaterial,
) -> None:
    """The altered answer is the model's own to the same question in the other language."""
    foreign: list[str] = []

    def reads(text: str) -> Outcome:
        foreign.append(text)
        return is_good(text)

    material = make_material("harm", Scripted(reads=reads))
    found = trial(material)
    probe = next(probe for probe in found.probes if probe.name == "other_language")
    assert probe.n >= 15
    assert probe.fooled is not None
    assert probe.fooled.value == 0
    # Three models' labelled answers come first; then the probes.
    own = {answer.text for rows in material.answers.values() for answer in rows.values()}
    again = [text for text in foreign[240:] if text in own]
    assert len(again) == probe.n
    assert all(GOOD in text for text in again)


class Pair(Scripted):
    """Two judges of whom the second says the opposite on some answers; the first decides."""

    def judge(
        self, items: Sequence[Item], question: Question, progress: Progress = silent
    ) -> list[Verdict]:
        said = super().judge(items, question, progress)
        votes = [
            {"one": row.outcome, "two": "no" if "7" in row.prompt else row.outcome} for row in said
        ]
        return [
            row.model_copy(update={"votes": vote}) for row, vote in zip(said, votes, strict=True)
        ]


def test_how_far_a_panel_agrees_is_told(make_material: MakeMaterial) -> None:
    """Alpha among the votes is below that of the panel and the labels; one judge has none."""
    found = trial(make_material("harm", Pair()))
    assert found.alpha is not None
    assert found.alpha.value == 1
    assert found.alpha_of_panel is not None
    assert found.alpha_of_panel.ci is not None
    assert 0.5 < found.alpha_of_panel.value < 1
    assert trial(make_material("harm", Scripted())).alpha_of_panel is None


def test_the_card_reads_back_and_repeats(make_material: MakeMaterial) -> None:
    """The same seed gives the same bytes, and the JSON is the record."""
    cards = [
        calibrate(
            SPEC, [make_material("harm", Scripted())], rules=Scripted(), seed=3
        ).model_dump_json()
        for _ in range(2)
    ]
    assert cards[0] == cards[1]
    assert JudgeCard.model_validate_json(cards[0]).model_dump_json() == cards[0]
    other = calibrate(SPEC, [make_material("harm", Scripted())], rules=Scripted(), seed=4)
    assert (
        other.axes["harm"].confusion
        != JudgeCard.model_validate_json(cards[0]).axes["harm"].confusion
    )


def test_grades_are_skipped_with_a_reason(make_material: MakeMaterial) -> None:
    """An axis with grades is left out and changes no other axis; alone it is an error."""
    judge = Scripted()
    graded = make_material("style", judge)
    card = calibrate(SPEC, [graded, make_material("harm", judge)], rules=judge)
    assert card.skipped == {"style": "Not calibrated: grades cannot be compared with labels yet."}
    assert card.warnings == [f"style: {card.skipped['style']}"]
    beside = calibrate(
        SPEC,
        [make_material("quality", judge), make_material("harm", judge)],
        rules=judge,
    )
    assert card.axes == {"harm": beside.axes["harm"]}
    with pytest.raises(SpecError, match=r"seen: grades only, on style\)\. Remove `calibrate`"):
        calibrate(SPEC, [graded], rules=judge)


def test_rules_that_are_out_of_reach_are_said(make_material: MakeMaterial) -> None:
    """A caller without the testbed's rules gets one message."""
    with pytest.raises(SpecError, match="rules are not available here; give `labels`"):
        calibrate(SPEC, [make_material("harm", Scripted())])
