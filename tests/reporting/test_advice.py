"""The sentences that say what to do."""

from typing import Any

import pytest

from mixmerge.records.results import Results
from mixmerge.reporting.advice import Told, tell
from mixmerge.reporting.input import ReportInput


def told(results: Results, **changed: Any) -> Told:
    """Return the sentences of a study's advice with some fields changed."""
    assert results.advice is not None
    advice = results.advice.model_copy(update=changed)
    found = tell(results.model_copy(update={"advice": advice}))
    assert found is not None
    return found


def plain(text: str) -> str:
    """Return a sentence with ordinary spaces."""
    return text.replace("\N{NARROW NO-BREAK SPACE}", " ")


def test_the_choice_has_its_folder_and_its_reason(study: ReportInput) -> None:
    """The model to take comes with where it lies, its gain, the interval and the bootstrap."""
    found = told(study.results)
    assert (found.take.sentence, found.take.folder) == (
        "Take `dpo-slerp`.", "merge/dpo-slerp-0123abcd/model",
    )  # fmt: skip
    assert plain(found.why[0]) == (
        "With general and safety counting alike it is 4.3 points better than `dpo-15` (95 % "
        "interval +1.1 to +7.5, adjusted for 15 models); in 62 % of the bootstrap draws no model "
        "is better."
    )


def test_priorities_and_open_questions_are_sentences(study: ReportInput) -> None:
    """Another model comes with from where on; what is open with the questions that decide it."""
    found = told(study.results)
    (other,) = found.otherwise
    assert other.sentence == "If safety counts at least twice as much as general, take `dpo-100`."
    assert plain(found.open[0]) == (
        "If general counts at least one and a half times as much as safety, `dpo-dare-ties` "
        "measures 0.2 points better, within the noise (−2.0 to +2.4). If that stays, about 520 on "
        "general (now 200) and 520 on safety (now 200) questions would decide it."
    )
    assert found.open[1].startswith("Each model was trained once: run the study with two other")


def test_a_size_that_nobody_affords_is_said_to_be_one(study: ReportInput) -> None:
    """Without an affordable number of prompts either model will do."""
    advice = study.results.advice
    assert advice is not None
    question = advice.open[0].model_copy(update={"needed": None, "factor": 1.0})
    (sentence, _) = told(study.results, open=(question,)).open
    assert sentence.startswith("`dpo-dare-ties` measures 0.2 points better")
    assert sentence.endswith("no affordable number of prompts would decide it; take either.")
    assert told(study.results, open=()).open[0].startswith("No other model measures better")


@pytest.mark.parametrize(
    ("choice", "take"),
    [
        ("dpo-15", "Stay with `dpo-15`, the baseline."),
        ("base", "Stay with `base`, the base model."),
    ],
)
def test_without_evidence_the_baseline_stays(study: ReportInput, choice: str, take: str) -> None:
    """Where nothing is shown to be better the advice is the plain thing."""
    found = told(study.results, choice=choice, reason="default", against=None, ci=None)
    assert found.take.sentence == take
    assert found.why[0].startswith("No other model is shown to be better with general and safety ")


def test_of_equivalent_models_the_cheaper_is_taken(study: ReportInput) -> None:
    """The sentence names the equivalent model and the share of its training tokens."""
    found = told(study.results, choice="sft-15", against="dpo-slerp", reason="equivalent")
    assert plain(found.why[0]) == (
        "It is equivalent to `dpo-slerp`: on no axis do they differ by the margin. And it took "
        "25 % of the training tokens."
    )


def test_models_beyond_a_limit_are_named(study: ReportInput) -> None:
    """What is excluded is said with the axis and the limit; nothing may be left."""
    out = {"excluded": {"dpo-ties": ("over_refusal",)}, "limits": {"over_refusal": 0.1}}
    found = told(study.results, **out)
    assert plain(found.why[1]) == (
        "Beyond a limit and not recommended: `dpo-ties` (over_refusal above 10.0 %)."
    )
    none = told(study.results, choice=None, reason="limits", **out)
    assert none.take.sentence == "Take no model: none is within the limits."
    assert none.why == found.why[1:]
    rest = told(study.results, reason="limits", **out)
    assert rest.why[0].startswith("The baseline is beyond a limit; of the others this one measures")


def test_weights_of_the_study_are_told(study: ReportInput) -> None:
    """Weights that differ are named, and priorities are relative to them."""
    found = told(study.results, weights={"general": 0.25, "safety": 0.75})
    assert plain(found.why[0]).startswith(
        "With the weights of the study (general 25 %, safety 75 %) it is 4.3 points better"
    )
    assert found.otherwise[0].sentence.startswith(
        "If safety counts at least twice as much as the study says, take"
    )


def test_of_three_axes_one_counts_more_or_less_than_each_other(study: ReportInput) -> None:
    """With more than two axes the others are held alike; less is told as a part."""
    advice = study.results.advice
    assert advice is not None
    less = advice.priorities[0].model_copy(update={"factor": 1 / 3})
    third = dict.fromkeys(("general", "safety", "code"), 1 / 3)
    found = told(study.results, weights=third, priorities=(less,))
    assert found.otherwise[0].sentence == (
        "If safety counts at most a third as much as each other axis, take `dpo-100`."
    )
    one = told(study.results, weights={"safety": 1.0})
    assert one.why[0].startswith("On safety it is 4.3 points better")


def test_results_without_advice_have_no_sentences(study: ReportInput) -> None:
    """Results made otherwise may lack it."""
    assert tell(study.results.model_copy(update={"advice": None})) is None
