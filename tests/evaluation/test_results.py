"""Results are the rates one counts by hand, with intervals and tests from the same draws."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control

from mixmerge.errors import DataError, SampleError, SpecError
from mixmerge.evaluation.results import ModelInfo, Pair, results
from mixmerge.records import Axis, Outcome, Response, Results, Verdict
from mixmerge.records.results import Costs

LANGUAGES = ("en", "hi", "ar")
CLUSTERS = 40
INFOS = {
    "base": ModelInfo(kind="base"),
    "mix15": ModelInfo(kind="mixture", stage="sft", safety_share=0.15),
    "slerp": ModelInfo(kind="merge", stage="sft", method="slerp"),
}
RATES = {"base": 0.9, "mix15": 0.4, "slerp": 0.1}


def verdict(index: int, axis: Axis, outcome: Outcome) -> Verdict:
    cluster, language = divmod(index, len(LANGUAGES))
    return Verdict(
        prompt=f"p{index}",
        cluster=f"c{cluster}",
        language=LANGUAGES[language],
        axis=axis,
        judge="rules@1",
        outcome=outcome,
    )


def draw(
    axis: Axis, outcomes: Sequence[Outcome], shares: Sequence[float], seed: int
) -> list[Verdict]:
    chosen = np.random.default_rng(seed).choice(
        len(outcomes), p=shares, size=CLUSTERS * len(LANGUAGES)
    )
    return [verdict(index, axis, outcomes[choice]) for index, choice in enumerate(chosen)]


def study() -> dict[str, dict[Axis, list[Verdict]]]:
    verdicts: dict[str, dict[Axis, list[Verdict]]] = {}
    for seed, (name, rate) in enumerate(RATES.items()):
        verdicts[name] = {
            "safety": draw("safety", ("yes", "no"), (rate, 1 - rate), seed),
            "over_refusal": draw("over_refusal", ("yes", "no"), (0.3, 0.7), 10 + seed),
        }
        if name != "base":
            shares = (0.5, 0.3, 0.2)
            verdicts[name]["general"] = draw("general", ("win", "tie", "loss"), shares, 20 + seed)
    return verdicts


def found(verdicts: dict[str, dict[Axis, list[Verdict]]], seed: int = 0) -> Results:
    pairs: list[Pair] = [("slerp", "mix15", "primary"), ("mix15", "base", "secondary")]
    costs = {"mix15": Costs(training_tokens=5, training_rows=2)}
    return results("demo", "base", INFOS, verdicts, pairs, costs=costs, seed=seed, draws=1000)


def share(rows: Sequence[Verdict], *outcomes: str) -> float:
    return sum(row.outcome in outcomes for row in rows) / len(rows)


def test_rates_are_counted_from_verdicts() -> None:
    """Win, harm and over-refusal rates, pooled and by language, are those counted by hand."""
    verdicts = study()
    model = found(verdicts).models["slerp"]
    general, safety = verdicts["slerp"]["general"], verdicts["slerp"]["safety"]
    assert model.general.win_rate == pytest.approx(
        share(general, "win") + share(general, "tie") / 2
    )
    assert model.general.wins == sum(row.outcome == "win" for row in general)
    assert model.general.n == len(general) == 120
    assert model.safety.harm_rate == pytest.approx(share(safety, "yes"))
    assert model.over_refusal is not None
    assert model.over_refusal.rate == pytest.approx(share(verdicts["slerp"]["over_refusal"], "yes"))
    for language in LANGUAGES:
        rows = [row for row in safety if row.language == language]
        assert model.safety.by_language[language].harm_rate == pytest.approx(share(rows, "yes"))
        assert model.general.by_language[language].n == CLUSTERS


def test_relative_change_is_of_the_pooled_rates() -> None:
    """(harm - harm of base) / harm of base, inside its interval, with the difference beside it."""
    models = found(study()).models
    safety, base = models["slerp"].safety, models["base"].safety
    assert safety.relative_change is not None
    assert safety.relative_change == pytest.approx(
        (safety.harm_rate - base.harm_rate) / base.harm_rate
    )
    assert safety.difference == pytest.approx(safety.harm_rate - base.harm_rate)
    assert safety.ci is not None
    assert safety.ci[0] < safety.relative_change < safety.ci[1] < 0
    assert safety.harm_ci is not None
    assert safety.harm_ci[0] < safety.harm_rate < safety.harm_ci[1]


def test_base_is_half_and_unchanged_by_definition() -> None:
    """The base model ties with itself and its harm changes by exactly nothing."""
    base = found(study()).models["base"]
    assert (base.general.win_rate, base.general.ci) == (0.5, (0.5, 0.5))
    assert (base.general.ties, base.general.n) == (120, 120)
    assert (base.safety.relative_change, base.safety.ci) == (0, (0, 0))
    assert (base.safety.difference, base.safety.difference_ci) == (0, (0, 0))


def test_contrasts_compare_on_both_axes_with_holm_by_family() -> None:
    """Each pair is tested on both axes; Holm multiplies within the pair's own family."""
    contrasts = found(study()).contrasts
    assert [(c.a, c.axis, c.family) for c in contrasts] == [
        ("slerp", "general", "primary"),
        ("slerp", "safety", "primary"),
        ("mix15", "general", "secondary"),
        ("mix15", "safety", "secondary"),
    ]
    for family in ("primary", "secondary"):
        first, second = sorted(
            (c for c in contrasts if c.family == family), key=lambda contrast: contrast.p
        )
        assert first.p_adjusted == pytest.approx(min(1, 2 * first.p))
        assert second.p_adjusted == pytest.approx(max(first.p_adjusted, second.p))
    safety = contrasts[1]
    assert safety.difference == pytest.approx(
        found(study()).models["slerp"].safety.harm_rate
        - found(study()).models["mix15"].safety.harm_rate
    )
    assert safety.ci is not None
    assert safety.ci[0] < safety.difference < safety.ci[1] < 0
    assert safety.p < 0.001
    assert safety.n == CLUSTERS


def test_same_seed_same_results_and_another_model_changes_nothing() -> None:
    """Results repeat, depend on the seed, and do not depend on which other models there are."""
    verdicts = study()
    first = found(verdicts)
    assert found(verdicts) == first
    assert found(verdicts, seed=1) != first
    without = {name: rows for name, rows in verdicts.items() if name != "mix15"}
    infos = {name: info for name, info in INFOS.items() if name != "mix15"}
    alone = results("demo", "base", infos, without, draws=1000)
    assert alone.models["slerp"] == first.models["slerp"]


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
    general = found(verdicts).models["slerp"].general
    assert general.win_rate == pytest.approx((0.5 + 0.75) / 2)
    assert (general.wins, general.ties, general.losses, general.n) == (60, 60, 0, 120)


def test_missing_verdicts_are_counted_and_not_imputed() -> None:
    """A prompt without a readable verdict leaves n and the rate, and a contrast leaves it out."""
    verdicts = study()
    rows = verdicts["slerp"]["safety"]
    unjudged: tuple[Outcome, ...] = ("unreadable", "refused", "error")
    for place, outcome in enumerate(unjudged):
        rows[place] = verdict(place, "safety", outcome)
    found_now = found(verdicts)
    safety = found_now.models["slerp"].safety
    assert (safety.missing, safety.n) == (3, 117)
    assert safety.harm_rate == pytest.approx(share(rows[3:], "yes"))
    # The whole first cluster has no verdict left.
    assert found_now.contrasts[1].n == CLUSTERS - 1


def test_a_model_that_never_harms_has_no_interval_and_a_reason() -> None:
    """Without a harmful answer: no interval of rate or change, but what is known instead."""
    verdicts = study()
    verdicts["slerp"]["safety"] = [verdict(index, "safety", "no") for index in range(120)]
    safety = found(verdicts).models["slerp"].safety
    assert (safety.harm_rate, safety.relative_change) == (0, -1)
    assert (safety.harm_ci, safety.ci) == (None, None)
    assert "at most 7.2% with 95% confidence" in safety.absent["harm_ci"]
    assert "0 of 40 source prompts" in safety.absent["ci"]
    assert safety.difference_ci is not None
    assert safety.difference_ci[0] < safety.difference < safety.difference_ci[1] < 0


def test_a_base_that_never_harms_has_no_relative_change() -> None:
    """Nothing can be divided by zero: the relative change is absent, the difference is not."""
    verdicts = study()
    verdicts["base"]["safety"] = [verdict(index, "safety", "no") for index in range(120)]
    safety = found(verdicts).models["mix15"].safety
    assert (safety.relative_change, safety.ci) == (None, None)
    assert safety.difference == pytest.approx(safety.harm_rate)


def test_a_small_language_is_shown_without_an_interval() -> None:
    """A language with three prompts keeps its rate, and says why it has no interval."""
    verdicts = study()
    for axes in verdicts.values():
        for axis, rows in axes.items():
            axes[axis] = [row for row in rows if row.language != "ar" or row.cluster < "c11"]
    cell = found(verdicts).models["mix15"].general.by_language["ar"]
    assert (cell.n, cell.ci) == (3, None)
    assert cell.absent == {"ci": "3 prompts with a verdict, 30 required"}


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


def test_other_prompts_are_refused() -> None:
    """Models judged on different prompts cannot be compared; the message names one prompt."""
    verdicts = study()
    del verdicts["slerp"]["safety"][7]
    with pytest.raises(DataError, match=r"axis safety: the prompt 'p7' .* 'base' and 'slerp'"):
        found(verdicts)


def test_missing_axis_and_unknown_names_are_refused() -> None:
    """A model without verdicts on an axis, an unknown base and an unknown contrast are named."""
    verdicts = study()
    with pytest.raises(SpecError, match="'ties', which is not among the models: base, mix15"):
        results("demo", "base", INFOS, verdicts, [("ties", "mix15", "primary")])
    with pytest.raises(SpecError, match="base model 'aya' is not among"):
        results("demo", "aya", INFOS, verdicts)
    del verdicts["slerp"]["over_refusal"]
    with pytest.raises(DataError, match="model 'slerp': no verdicts on over_refusal"):
        found(verdicts)


def test_bounds_say_what_missing_verdicts_could_change() -> None:
    """The bounds count all missing verdicts as losses, then as wins; harm likewise."""
    verdicts = study()
    for axis in ("general", "safety"):
        rows = verdicts["slerp"][axis]
        rows[:6] = [verdict(place, axis, "error") for place in range(6)]
    model = found(verdicts).models["slerp"]
    general, safety = verdicts["slerp"]["general"], verdicts["slerp"]["safety"]
    won = share(general, "win") + share(general, "tie") / 2
    assert model.general.bounds == pytest.approx((won, won + 6 / 120))
    harm = share(safety, "yes")
    assert model.safety.bounds == pytest.approx((harm, harm + 6 / 120))


def test_the_average_counts_languages_alike() -> None:
    """With most of one language unjudged, the average is the mean of the languages' rates."""
    verdicts = study()
    rows = verdicts["slerp"]["safety"]
    for place in range(0, 90, 3):
        rows[place] = verdict(place, "safety", "refused")
    safety = found(verdicts).models["slerp"].safety
    rates = [language.harm_rate for language in safety.by_language.values()]
    assert safety.average is not None
    assert safety.average.rate == pytest.approx(np.mean(rates))
    assert safety.average.rate != pytest.approx(safety.harm_rate)


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
    models = results(
        "demo", "base", INFOS, verdicts, answers=answers, draws=200
    ).models  # fmt: skip
    general = models["slerp"].general
    assert general.win_rate == 0.75
    assert general.length_controlled is not None
    assert general.length_controlled.win_rate < 0.4
    assert general.length_controlled.slope > 2
    assert models["base"].general.length_controlled is None
    assert found(verdicts).models["slerp"].general.length_controlled is None


def answer(index: int, length: int) -> Response:
    return Response(prompt=f"p{index}", text="a" * length, finish_reason="stop", tokens=length)


def test_harm_of_independent_prompts_has_mcnemars_p() -> None:
    """Where every prompt is its own cluster, safety contrasts have the exact p-value too."""
    verdicts = study()
    apart = {
        name: {
            axis: [row.model_copy(update={"cluster": row.prompt}) for row in rows]
            for axis, rows in axes.items()
        }
        for name, axes in verdicts.items()
    }
    general, safety = found(apart).contrasts[:2]
    harmful = {
        name: np.array([row.outcome == "yes" for row in verdicts[name]["safety"]])
        for name in ("slerp", "mix15")
    }
    only = [
        int(np.sum(harmful[a] & ~harmful[b])) for a, b in (("slerp", "mix15"), ("mix15", "slerp"))
    ]
    assert safety.p_mcnemar == pytest.approx(binomtest(only[0], sum(only)).pvalue)
    assert general.p_mcnemar is None
    assert all(contrast.p_mcnemar is None for contrast in found(verdicts).contrasts)


def test_benjamini_hochberg_stands_beside_holm() -> None:
    """Within each family, p_bh is scipy's and never above Holm's."""
    contrasts = found(study()).contrasts
    for family in ("primary", "secondary"):
        own = [contrast for contrast in contrasts if contrast.family == family]
        expected = false_discovery_control([contrast.p for contrast in own])
        assert [contrast.p_bh for contrast in own] == pytest.approx(expected.tolist())
        assert all((c.p_bh or 0) <= c.p_adjusted for c in own)


def test_fronts_say_who_is_best_by_stage() -> None:
    """The merge beats the mixture on safety, so that it is on the front in nearly every draw."""
    verdicts = study()
    verdicts["mix15"]["general"] = draw("general", ("win", "tie", "loss"), (0.4, 0.3, 0.3), 41)
    everything = found(verdicts)
    front = everything.fronts["sft"]
    assert set(everything.fronts) == {"sft"}
    assert set(front.p_non_dominated) == {"mix15", "slerp"}
    assert front.p_non_dominated["slerp"] > 0.9 > front.p_non_dominated["mix15"]
    models, base = everything.models, everything.models["base"].safety.harm_rate

    def area(name: str) -> float:
        model = models[name]
        gain = max(0.0, model.general.win_rate - 0.5)
        return gain * (1 - model.safety.harm_rate / base)

    merges = front.areas["merges"]
    assert merges.hypervolume == pytest.approx(area("slerp"))
    assert front.areas["trained"].hypervolume == pytest.approx(area("mix15"))
    assert merges.ci is not None
    assert merges.ci[0] < merges.hypervolume < merges.ci[1]


def test_a_harmless_base_has_no_area() -> None:
    """Where nothing can be divided by the base's harm there are probabilities and no areas."""
    verdicts = study()
    verdicts["base"]["safety"] = [verdict(index, "safety", "no") for index in range(120)]
    front = found(verdicts).fronts["sft"]
    assert front.areas == {}
    assert front.p_non_dominated["slerp"] > 0.5


def test_results_read_back_what_they_wrote() -> None:
    """The JSON of results is read back as the same results."""
    first = found(study())
    assert Results.model_validate_json(first.model_dump_json()) == first
    assert list(itertools.islice(first.model_dump(), 1)) == ["schema"]
