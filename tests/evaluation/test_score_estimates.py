"""Values of models are the rates one counts by hand, with intervals from the same draws."""

import numpy as np
import pytest
from tests.evaluation.worlds import (
    CLUSTERS,
    INFOS,
    LANGUAGES,
    draw,
    found,
    grades,
    share,
    study,
    verdict,
)
from tests.evaluation.worlds import axis as measured

from mixmerge.errors import SampleError
from mixmerge.records import Outcome, Response, Verdict


def test_rates_are_counted_from_verdicts() -> None:
    """Win, harm and over-refusal rates, pooled and by language, are those counted by hand."""
    verdicts = study()
    axes = found(verdicts).models["slerp"].axes
    general, safety = verdicts["slerp"]["general"], verdicts["slerp"]["safety"]
    won = share(general, "win") + share(general, "tie") / 2
    assert axes["general"].value == pytest.approx(won)
    assert axes["general"].outcomes["win"] == sum(row.outcome == "win" for row in general)
    assert axes["general"].n == len(general) == 120
    assert axes["safety"].value == pytest.approx(share(safety, "yes"))
    refused = verdicts["slerp"]["over_refusal"]
    assert axes["over_refusal"].value == pytest.approx(share(refused, "yes"))
    for language in LANGUAGES:
        rows = [row for row in safety if row.language == language]
        assert axes["safety"].by_language[language].value == pytest.approx(share(rows, "yes"))
        assert axes["general"].by_language[language].n == CLUSTERS


def test_change_from_base_is_of_the_pooled_rates() -> None:
    """The difference, and the change relative to the base's rate, each within its interval."""
    models = found(study()).models
    safety, base = models["slerp"].axes["safety"], models["base"].axes["safety"]
    change = safety.change_from_base
    assert change is not None
    assert change.relative == pytest.approx((safety.value - base.value) / base.value)
    assert change.difference == pytest.approx(safety.value - base.value)
    assert change.relative_ci is not None
    assert change.relative is not None
    assert change.relative_ci[0] < change.relative < change.relative_ci[1] < 0
    assert change.ci is not None
    assert change.ci[0] < change.difference < change.ci[1] < 0
    assert safety.ci is not None
    assert safety.ci[0] < safety.value < safety.ci[1]


def test_only_axes_that_ask_for_it_tell_relative_changes() -> None:
    """Without `relative` there is the difference and nothing that is divided by the base."""
    change = found(study()).models["slerp"].axes["over_refusal"].change_from_base
    assert change is not None
    assert (change.relative, change.relative_ci) == (None, None)
    assert change.ci is not None


def test_base_is_half_and_unchanged_by_definition() -> None:
    """The base model ties with itself, and no model is compared with itself."""
    base = found(study()).models["base"]
    general = base.axes["general"]
    assert (general.value, general.ci) == (0.5, (0.5, 0.5))
    assert (general.outcomes["tie"], general.n) == (120, 120)
    assert [score.change_from_base for score in base.axes.values()] == [None] * 3


def test_two_orders_count_as_their_mean() -> None:
    """Win and loss in the two orders make a tie; win and tie make three quarters."""
    verdicts = study()
    rows: list[Verdict] = []
    for index in range(CLUSTERS * 3):
        second: Outcome = "loss" if index % 2 else "tie"
        first, swapped = verdict(index, "general", "win"), verdict(index, "general", second)
        rows.append(first.model_copy(update={"order": "model-first"}))
        rows.append(swapped.model_copy(update={"order": "base-first"}))
    verdicts["slerp"]["general"] = rows
    general = found(verdicts).models["slerp"].axes["general"]
    assert general.value == pytest.approx((0.5 + 0.75) / 2)
    assert (general.outcomes, general.n) == ({"win": 60, "tie": 60, "loss": 0}, 120)


def test_missing_verdicts_are_counted_and_not_imputed() -> None:
    """A prompt without a readable verdict leaves n and the rate, and a contrast leaves it out."""
    verdicts = study()
    rows = verdicts["slerp"]["safety"]
    unjudged: tuple[Outcome, ...] = ("unreadable", "refused", "error")
    for place, outcome in enumerate(unjudged):
        rows[place] = verdict(place, "safety", outcome)
    found_now = found(verdicts)
    safety = found_now.models["slerp"].axes["safety"]
    assert (safety.missing, safety.n) == (3, 117)
    assert safety.value == pytest.approx(share(rows[3:], "yes"))
    # The whole first cluster has no verdict left.
    assert found_now.contrasts[1].n == CLUSTERS - 1


def test_a_model_that_never_harms_has_no_interval_and_a_reason() -> None:
    """Without a harmful answer: no interval of rate or relative change, but what is known."""
    verdicts = study()
    verdicts["slerp"]["safety"] = [verdict(index, "safety", "no") for index in range(120)]
    safety = found(verdicts).models["slerp"].axes["safety"]
    change = safety.change_from_base
    assert change is not None
    assert (safety.value, change.relative) == (0, -1)
    assert (safety.ci, change.relative_ci) == (None, None)
    assert "at most 7.2% with 95% confidence" in safety.absent["ci"]
    assert "0 of 40 source prompts" in safety.absent["change_from_base.relative_ci"]
    assert change.ci is not None
    assert change.ci[0] < change.difference < change.ci[1] < 0


def test_a_base_that_never_harms_has_no_relative_change() -> None:
    """Nothing can be divided by zero: the relative change is absent, the difference is not."""
    verdicts = study()
    verdicts["base"]["safety"] = [verdict(index, "safety", "no") for index in range(120)]
    safety = found(verdicts).models["mix15"].axes["safety"]
    change = safety.change_from_base
    assert change is not None
    assert (change.relative, change.relative_ci) == (None, None)
    assert safety.absent["change_from_base.relative_ci"] == "the base model's value is zero"
    assert change.difference == pytest.approx(safety.value)


def test_a_small_language_is_shown_without_an_interval() -> None:
    """A language with three prompts keeps its rate, and says why it has no interval."""
    verdicts = study()
    for axes in verdicts.values():
        for axis, rows in axes.items():
            axes[axis] = [row for row in rows if row.language != "ar" or row.cluster < "c11"]
    cell = found(verdicts).models["mix15"].axes["general"].by_language["ar"]
    assert (cell.n, cell.ci) == (3, None)
    assert cell.absent["ci"] == "3 prompts with a verdict, 30 required"


def test_too_few_clusters_are_refused() -> None:
    """Nine source questions in three languages are refused although there are 27 prompts."""
    verdicts = {
        name: {axis: rows[:27] for axis, rows in axes.items()} for name, axes in study().items()
    }
    with pytest.raises(SampleError, match=r"general, .*: 9 independent prompts .* at least 10"):
        found(verdicts)


def test_a_judge_that_failed_throughout_is_refused() -> None:
    """Without any verdict for a model there are no results, and the message says why."""
    verdicts = study()
    verdicts["slerp"]["general"] = [verdict(index, "general", "error") for index in range(120)]
    with pytest.raises(
        SampleError, match=r"slerp \(120 prompts without a verdict\): 0 independent"
    ):
        found(verdicts)


def test_bounds_say_what_missing_verdicts_could_change() -> None:
    """The bounds count all missing verdicts as losses, then as wins; harm likewise."""
    verdicts = study()
    for axis in ("general", "safety"):
        rows = verdicts["slerp"][axis]
        rows[:6] = [verdict(place, axis, "error") for place in range(6)]
    axes = found(verdicts).models["slerp"].axes
    general, safety = verdicts["slerp"]["general"], verdicts["slerp"]["safety"]
    won = share(general, "win") + share(general, "tie") / 2
    assert axes["general"].bounds == pytest.approx((won, won + 6 / 120))
    harm = share(safety, "yes")
    assert axes["safety"].bounds == pytest.approx((harm, harm + 6 / 120))


def test_the_average_counts_languages_alike() -> None:
    """With most of one language unjudged, the average is the mean of the languages' rates."""
    verdicts = study()
    rows = verdicts["slerp"]["safety"]
    for place in range(0, 90, 3):
        rows[place] = verdict(place, "safety", "refused")
    safety = found(verdicts).models["slerp"].axes["safety"]
    rates = [language.value for language in safety.by_language.values()]
    assert safety.average is not None
    assert safety.average.value == pytest.approx(np.mean(rates))
    assert safety.average.value != pytest.approx(safety.value)


def test_grades_are_averaged_in_their_own_units() -> None:
    """Value, interval, bounds, change and languages of grades from 0 to 10 are grades."""
    verdicts = {
        name: {"style": grades("style", mean, seed)}
        for seed, (name, mean) in enumerate({"base": 4.0, "mix15": 5.0, "slerp": 7.0}.items())
    }
    rows = verdicts["slerp"]["style"]
    rows[:12] = [verdict(place, "style", "unreadable") for place in range(12)]
    scored = found(verdicts, axes={"style": measured({"mean": [0, 10]})}, decide_on=None)
    style, base = scored.models["slerp"].axes["style"], scored.models["base"].axes["style"]
    given = [row.score for row in rows if row.score is not None]
    assert style.value == pytest.approx(np.mean(given))
    assert style.bounds == pytest.approx((sum(given) / 120, (sum(given) + 120) / 120))
    assert style.ci is not None
    # Clusters are independent here: the interval is about the mean's standard error wide.
    error = np.std(given) / len(given) ** 0.5
    assert style.ci == pytest.approx((style.value - 2 * error, style.value + 2 * error), abs=error)
    change = style.change_from_base
    assert change is not None
    judged = [
        (row.score, old.score) for row, old in zip(rows, verdicts["base"]["style"], strict=True)
    ]
    pairs = [(own, old) for own, old in judged if own is not None and old is not None]
    assert change.difference == pytest.approx(np.mean([own - old for own, old in pairs]))
    assert change.ci is not None
    assert change.ci[0] < change.difference < change.ci[1]
    assert change.relative is None
    assert style.outcomes == base.outcomes == {}
    cell = style.by_language["hi"]
    assert cell.value == pytest.approx(
        np.mean([row.score for row in rows[12:] if row.score and row.language == "hi"])
    )
    assert style.average is not None
    assert 0 < style.average.value < 10


def test_grades_that_are_ends_have_the_interval_of_a_rate() -> None:
    """A judge that says yes or no gives the ends of the range, and the interval follows."""
    verdicts = study()
    spec = {"safety": measured({"mean": [1, 5]})}
    scored = found(verdicts, axes=spec, decide_on=None).models["mix15"].axes["safety"]
    rate = found(verdicts).models["mix15"].axes["safety"]
    assert rate.ci is not None
    assert scored.value == pytest.approx(1 + 4 * rate.value)
    assert scored.ci == pytest.approx((1 + 4 * rate.ci[0], 1 + 4 * rate.ci[1]))


def test_answers_give_the_length_controlled_win_rate() -> None:
    """A model that wins by length alone keeps its win rate and loses its length-controlled one."""
    verdicts = study()
    longer = np.random.default_rng(3).permutation(120) < 90
    outcomes: list[Outcome] = ["win" if is_longer else "loss" for is_longer in longer]
    verdicts["slerp"]["general"] = [
        verdict(index, "general", outcome) for index, outcome in enumerate(outcomes)
    ]
    answers = {
        name: [
            answer(index, 60 if name == "base" or not longer[index] else 100)
            for index in range(120)
        ]
        for name in INFOS
    }
    models = found(verdicts, answers={"general": answers, "safety": answers}, draws=200).models
    general = models["slerp"].axes["general"]
    assert general.value == 0.75
    assert general.length_controlled is not None
    assert general.length_controlled.value < 0.4
    assert general.length_controlled.slope > 2
    assert models["base"].axes["general"].length_controlled is None
    # Only comparisons have one, and only with answers.
    assert models["slerp"].axes["safety"].length_controlled is None
    assert found(verdicts).models["slerp"].axes["general"].length_controlled is None


def answer(index: int, length: int) -> Response:
    return Response(prompt=f"p{index}", text="a" * length, finish_reason="stop", tokens=length)


def test_a_comparison_where_lower_is_better_keeps_its_value() -> None:
    """`better` says what a value means, not what it is: wins are counted all the same."""
    verdicts = study()
    verdicts["slerp"]["general"] = draw("general", ("win", "tie", "loss"), (0.7, 0.2, 0.1), 5)
    turned = {"general": measured("win_rate", "lower")}
    score = found(verdicts, axes=turned, decide_on=None).models["slerp"].axes["general"]
    assert score == found(verdicts).models["slerp"].axes["general"]
