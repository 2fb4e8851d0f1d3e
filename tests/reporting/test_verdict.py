"""The decision rule, case by case, and the sentences that report it."""

import itertools
from collections.abc import Callable

import pytest

from mixmerge.records.results import Contrast, Results, Stage
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.verdict import Comparison, Conclusion, conclude, find_contrast

MakeContrast = Callable[..., Contrast]

BASELINES: dict[Stage, str] = {"sft": "sft-15", "dpo": "dpo-15"}

# (sign of the win rate difference, significant?), (sign of the harm rate difference, significant?)
# and the decision that the rule's definition gives; a higher harm rate is worse.
CASES = [
    ((+1, True), (-1, True), "beats"),
    ((+1, True), (-1, False), "beats"),
    ((+1, True), (+1, False), "beats"),
    ((+1, False), (-1, True), "beats"),
    ((-1, False), (-1, True), "beats"),
    ((+1, True), (+1, True), "trades"),
    ((-1, True), (-1, True), "trades"),
    ((-1, True), (+1, True), "loses"),
    ((-1, True), (-1, False), "loses"),
    ((-1, True), (+1, False), "loses"),
    ((+1, False), (+1, True), "loses"),
    ((-1, False), (+1, True), "loses"),
    ((+1, False), (-1, False), "undecided"),
    ((-1, False), (+1, False), "undecided"),
]


@pytest.mark.parametrize(("general", "safety", "decision"), CASES)
def test_decides_by_significance_and_direction(
    make_contrast: MakeContrast,
    general: tuple[int, bool],
    safety: tuple[int, bool],
    decision: str,
) -> None:
    """A merge's decision follows from which differences are significant and in which direction."""
    wins, harms = (
        make_contrast("m", "x", axis, sign * 0.05, 0.02, 0.01 if significant else 0.2)
        for axis, (sign, significant) in (("general", general), ("safety", safety))
    )
    assert Comparison("sft", "m", "x", wins, harms).decision == decision


@pytest.mark.parametrize("p", [0.05, 0.051, 1.0])
def test_needs_p_below_five_percent(make_contrast: MakeContrast, p: float) -> None:
    """An adjusted p of exactly 0.05 is not significant."""
    wins = make_contrast("m", "x", "general", 0.3, 0.01, p)
    harms = make_contrast("m", "x", "safety", -0.3, 0.01, p)
    assert Comparison("sft", "m", "x", wins, harms).decision == "undecided"


def test_uses_the_adjusted_and_not_the_raw_p(make_contrast: MakeContrast) -> None:
    """A raw p below 0.05 decides nothing when its adjusted value is above."""
    wins = make_contrast("m", "x", "general", 0.3, 0.01, 0.08)
    assert wins.p < 0.05
    harms = make_contrast("m", "x", "safety", 0.0, 0.01, 1.0)
    assert Comparison("sft", "m", "x", wins, harms).decision == "undecided"


def test_a_missing_axis_is_incomplete(make_contrast: MakeContrast) -> None:
    """A merge that is better on its only measured axis does not beat the mix yet."""
    wins = make_contrast("m", "x", "general", 0.3, 0.01, 0.001)
    assert Comparison("sft", "m", "x", wins, None).decision == "incomplete"
    assert Comparison("sft", "m", "x", None, None).decision == "incomplete"


def test_turns_a_reversed_contrast_round(study: ReportInput, make_contrast: MakeContrast) -> None:
    """A contrast stored as mix minus merge is read as merge minus mix, interval included."""
    stored = make_contrast("sft-15", "sft-slerp", "general", 0.04, 0.01, 0.01)
    results = study.results.model_copy(update={"contrasts": (stored,)})
    found = find_contrast(results, "sft-slerp", "sft-15", "general")
    assert found is not None
    assert (found.a, found.b) == ("sft-slerp", "sft-15")
    assert found.difference == pytest.approx(-0.04)
    assert found.ci == pytest.approx((-0.05, -0.03))
    assert find_contrast(results, "sft-slerp", "sft-15", "safety") is None


def decided(
    study: ReportInput, make_contrast: MakeContrast, gaps: dict[str, tuple[float, float, float]]
) -> Conclusion:
    """Conclude on contrasts given as merge: (win gap, harm gap, adjusted p of both)."""
    contrasts = [
        make_contrast(name, f"{name[:3]}-15", axis, gap, 0.02, p)
        for name, (wins, harms, p) in gaps.items()
        for axis, gap in (("general", wins), ("safety", harms))
    ]
    results = study.results.model_copy(update={"contrasts": tuple(contrasts)})
    return conclude(results, BASELINES)


def test_headline_names_the_winner_with_its_intervals(study: ReportInput) -> None:
    """The first sentence names the merge, both differences, both intervals and the expert."""
    headline = conclude(study.results, BASELINES).headline.replace("\N{NO-BREAK SPACE}", " ")
    assert headline.startswith("Merging beats mixing at the DPO stage, not at the SFT stage: ")
    assert "slerp changes the win rate by +7.0 points" in headline
    assert "+2.8 to +11.2, p = 0.001) and the harm rate by −1.6 points (−4.0 to +0.8" in headline
    assert headline.endswith("alone measures at least as well on both axes as the mix.")


@pytest.mark.parametrize(
    ("wins", "harms", "p", "opening"),
    [
        (0.05, 0.05, 0.01, "Merging does not beat mixing; at best it trades"),
        (0.05, -0.05, 0.30, "Merging is not shown to beat mixing"),
        (-0.05, 0.05, 0.01, "Mixing beats merging; every merge that was compared loses"),
    ],
)
def test_headline_says_when_merging_does_not_win(
    study: ReportInput,
    make_contrast: MakeContrast,
    wins: float,
    harms: float,
    p: float,
    opening: str,
) -> None:
    """Without a winner the first sentence says that merging does not beat mixing."""
    conclusion = decided(study, make_contrast, {"sft-ties": (wins, harms, p)})
    assert conclusion.headline.startswith(opening)
    assert "at the SFT stage" in conclusion.headline


def test_without_contrasts_there_is_no_verdict(study: ReportInput) -> None:
    """An unfinished study has no verdict, in words."""
    bare = study.results.model_copy(update={"contrasts": ()})
    conclusion = conclude(bare, BASELINES)
    assert conclusion.headline.startswith("No verdict yet")
    assert all(stage.best is None for stage in conclusion.stages)
    empty = Results(schema_=1, study="s", base="b", models={}, contrasts=(), costs={})
    assert conclude(empty, {}).headline.startswith("No verdict yet")


def test_the_best_supported_merge_comes_first(
    study: ReportInput, make_contrast: MakeContrast
) -> None:
    """Decision, significant axes, p and size of the gain decide in this order, in any input order.

    The expected order is written down by hand from the rule.
    """
    ranked = {
        "sft-linear": (0.03, -0.03, 0.04),
        "sft-slerp": (0.20, 0.00, 0.001),
        "sft-ties": (0.10, 0.00, 0.001),
        "sft-dare-ties": (0.30, 0.30, 0.001),
    }
    for order in itertools.permutations(ranked):
        remaining = list(order)
        for expected in ranked:
            gaps = {name: ranked[name] for name in remaining}
            best = decided(study, make_contrast, gaps).of("sft").best
            assert best is not None
            assert best.merge == expected
            remaining.remove(expected)


def test_mentions_an_expert_that_beats_the_merge_itself(
    study: ReportInput, make_contrast: MakeContrast
) -> None:
    """When one expert's rates dominate the best merge and the mix, the sentence says so."""
    # dpo-100 has 75.0 % wins and 15.9 % harm; dpo-linear 75.0 % and 25.7 %; dpo-15 71.0 %, 22.7 %.
    conclusion = decided(study, make_contrast, {"dpo-linear": (0.04, 0.03, 0.2)})
    expert = conclusion.of("dpo").expert
    assert expert is not None
    assert expert.name == "dpo-100"
    assert expert.over == ("dpo-linear", "dpo-15")
    assert "on both axes as this merge and the mix." in conclusion.headline


def test_no_expert_is_mentioned_when_none_dominates(
    study: ReportInput, make_contrast: MakeContrast
) -> None:
    """An expert that is better on one axis only is not mentioned."""
    conclusion = decided(study, make_contrast, {"sft-slerp": (0.05, -0.01, 0.2)})
    assert conclusion.of("sft").expert is None
    assert "alone" not in conclusion.of("sft").sentence


def test_stage_sentence_counts_every_merge_once(study: ReportInput) -> None:
    """The counts in a stage's sentence add up to its merges."""
    sentence = conclude(study.results, BASELINES).of("dpo").sentence
    assert "of 4 merges" in sentence
    assert "2 beat it, 1 trades one axis for the other, 1 cannot be told apart" in sentence
    assert "it refuses 11.9\N{NARROW NO-BREAK SPACE}% of harmless requests" in sentence
