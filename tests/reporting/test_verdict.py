"""The sentences that report the decisions, and which merge is the best supported."""

import itertools
from collections.abc import Callable

import pytest

from mixmerge.records.results import Comparison, Contrast, Results
from mixmerge.records.sweeps import Matched, MatchedDifference
from mixmerge.reporting import tables
from mixmerge.reporting.input import ReportInput
from mixmerge.reporting.verdict import Conclusion, conclude

MakeContrast = Callable[..., Contrast]
MakeDecisions = Callable[..., tuple[Comparison, ...]]
MakeGiven = Callable[..., ReportInput]
Decided = Callable[[dict[str, tuple[float, float, float]]], Conclusion]


def plain(text: str) -> str:
    """Return a sentence with ordinary spaces."""
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NARROW NO-BREAK SPACE}", " ")


@pytest.fixture
def decided(
    study: ReportInput, make_contrast: MakeContrast, make_decisions: MakeDecisions
) -> Decided:
    """A maker of conclusions from merge: (win gap, harm gap, adjusted p of both)."""

    def make(gaps: dict[str, tuple[float, float, float]]) -> Conclusion:
        contrasts = [
            make_contrast(name, f"{name[:3]}-15", axis, gap, 0.02, p)
            for name, (wins, harms, p) in gaps.items()
            for axis, gap in (("general", wins), ("safety", harms))
        ]
        results = study.results.model_copy(update={"contrasts": tuple(contrasts)})
        decisions = make_decisions(results, [(name, f"{name[:3]}-15") for name in gaps])
        return conclude(results.model_copy(update={"decisions": decisions}))

    return make


def test_headline_names_the_winner_with_its_intervals(study: ReportInput) -> None:
    """The evidence names the merge, both differences, both intervals and the expert."""
    conclusion = conclude(study.results)
    assert conclusion.headline == "Merging beats mixing at the DPO stage, not at the SFT stage."
    assert plain(conclusion.evidence) == (
        "At the DPO stage, against dpo-15, dpo-slerp changes the win rate by +7.0 points (95 % "
        "interval +2.8 to +11.2, p = 0.001) and the share of harmful answers by −1.6 points (−4.0 "
        "to +0.8, p = 0.400); yet dpo-100 alone measures at least as well on both axes as dpo-15."
    )
    assert plain(conclusion.prompts) == (
        "Prompts with a verdict: general 1 200 (of 200 questions), safety 1 200 (of 200 questions)."
    )


@pytest.mark.parametrize(
    ("wins", "harms", "p", "opening"),
    [
        (
            0.05,
            0.05,
            0.01,
            "Merging does not beat mixing; at best it trades one axis for the other",
        ),
        (
            0.05,
            -0.05,
            0.30,
            "Merging is not shown to beat mixing; the best case is within the noise",
        ),
        (
            -0.01,
            0.05,
            0.30,
            "Merging is not shown to beat mixing; the best case measures better on no axis",
        ),
        (
            0.005,
            -0.005,
            0.30,
            "Merging does as well as mixing: every difference is below the margin",
        ),
        (-0.05, 0.05, 0.01, "Mixing beats merging; every merge that was compared loses"),
    ],
)
def test_headline_says_when_merging_does_not_win(
    decided: Decided, wins: float, harms: float, p: float, opening: str
) -> None:
    """Without a winner the first sentence says that merging does not beat mixing."""
    conclusion = decided({"sft-ties": (wins, harms, p)})
    assert conclusion.headline.startswith(opening)
    assert conclusion.evidence.startswith("At the SFT stage, against sft-15, sft-ties changes ")


@pytest.mark.parametrize(
    ("general", "safety", "doubt"),
    [
        (
            (0.05, 0.02, 0.01),
            (0.02, 0.03, 0.40),
            "may be worse on the share of harmful answers by 3 points or more",
        ),
        ((0.01, 0.06, 0.50), (0.08, 0.03, 0.001), "is worse on the share of harmful answers"),
    ],
)
def test_a_loss_or_a_possible_one_is_no_win(
    study: ReportInput,
    make_contrast: MakeContrast,
    make_decisions: MakeDecisions,
    general: tuple[float, float, float],
    safety: tuple[float, float, float],
    doubt: str,
) -> None:
    """Better on one axis and perhaps worse on the other is no win; surely worse is not noise."""
    pair = "sft-ties", "sft-15"
    contrasts = (
        make_contrast(*pair, "general", *general),
        make_contrast(*pair, "safety", *safety),
    )
    results = study.results.model_copy(update={"contrasts": contrasts})
    decisions = make_decisions(results, [pair])
    conclusion = conclude(results.model_copy(update={"decisions": decisions}))
    assert conclusion.headline == f"Merging is not shown to beat mixing; the best case {doubt}."


def test_one_axis_is_neither_traded_nor_counted(make_given: MakeGiven) -> None:
    """With one axis nothing is traded and no axes are counted; a given baseline has its name."""
    conclusion = conclude(make_given(["code"]).results)
    assert conclusion.headline == "Merging beats mixed."
    assert plain(conclusion.evidence) == (
        "Against mixed, slerp changes the mean score by +0.050 (95 % interval +0.020 to +0.080, "
        "p = 0.002); yet coder alone measures at least as well as slerp and mixed."
    )
    (stage,) = conclusion.stages.values()
    assert stage.sentence == (
        "Of 2 merges against mixed, 1 beats it, 1 is undecided; the best-supported is slerp."
    )


def test_of_many_axes_the_significant_changes_come_first(make_given: MakeGiven) -> None:
    """With three axes or more, evidence is told of the significant changes only."""
    axes = ["safety", "code", "mmlu", "tone", "general"]
    evidence = plain(conclude(make_given(axes).results).evidence)
    assert evidence.startswith("Against mixed, slerp changes the mean score on code by ")
    assert evidence.endswith(
        "and the win rate on general by +4.0 points (+1.0 to +7.0, p = 0.002), and not "
        "significantly the share of harmful answers on safety by −1.0 points and the share of "
        "correct answers on mmlu by +0.5 points."
    )


def test_sweeps_are_compared_at_the_baselines_value(study: ReportInput) -> None:
    """The sentence gives the value, each sweep's difference, and who does not reach it."""
    found = MatchedDifference(difference=0.004, ci=(-0.02, 0.028))
    absent = MatchedDifference(difference=None, ci=None, absent="not reached")
    matched = tuple(
        Matched(
            model=f"dpo-{name}", baseline="dpo-15", axis="safety", level=0.227,
            differences={"general": own}, sweep={},
        )
        for name, own in (("ties", found), ("linear", absent))
    )  # fmt: skip
    results = study.results.model_copy(update={"matched": matched})
    (sentence,) = conclude(results).matched
    assert plain(sentence) == (
        "DPO: at the share of harmful answers of dpo-15 (22.7 %), dpo-ties differs in the win rate "
        "by +0.4 points (−2.0 to +2.8); dpo-linear does not reach it."
    )
    assert conclude(study.results).matched == []
    (table,) = tables.matched(results)
    assert [row[2].text for row in table.rows] == ["22.7\N{NARROW NO-BREAK SPACE}%"] * 2


def test_axes_that_do_not_decide_are_told_aside(study: ReportInput, make_given: MakeGiven) -> None:
    """Their values stand beside the baseline's; they have no part in the decision."""
    sentence = plain(conclude(study.results).stages["dpo"].sentence)
    assert "; on over_refusal (share of refused answers) it has 11.9 % (dpo-15: 11.1 %)" in sentence
    results = make_given(["code", "tone"]).results
    axes = {**results.axes, "tone": results.axes["tone"].model_copy(update={"primary": False})}
    sentence = conclude(results.model_copy(update={"axes": axes})).stages["given"].sentence
    assert sentence.endswith("is slerp; on tone (mean score) it has 6.70 (mixed: 6.00).")


def test_a_sample_too_small_for_an_interval_is_said_first(
    study: ReportInput, make_contrast: MakeContrast
) -> None:
    """Without an interval on an axis the verdict is that it is too small to say, and why."""
    why = "16 prompts with a verdict, 30 required"
    contrasts = tuple(
        make_contrast("sft-ties", "sft-15", axis, 0.05, 0.02, 0.5).model_copy(
            update={"ci": None, "absent": {"ci": why}, "n": 16}
        )
        for axis in ("general", "safety")
    )
    pair = Comparison(a="sft-ties", b="sft-15", stage="sft", decision="undecided")
    small = {"contrasts": contrasts, "decisions": (pair,)}
    conclusion = conclude(study.results.model_copy(update=small))
    assert conclusion.headline == "Too small to say whether merging beats mixing."
    assert conclusion.too_small == [
        f"Too small to say on general: {why}.", f"Too small to say on safety: {why}.",
    ]  # fmt: skip
    assert conclude(study.results).too_small == []


def test_without_contrasts_there_is_no_verdict(study: ReportInput, make_given: MakeGiven) -> None:
    """An unfinished study has no verdict, in words."""
    bare = study.results.model_copy(update={"contrasts": (), "decisions": ()})
    conclusion = conclude(bare)
    assert conclusion.headline == (
        "No verdict yet: no merge has been compared with its baseline on both axes."
    )
    assert all(stage.best is None for stage in conclusion.stages.values())
    results = make_given(["code", "tone", "mmlu"]).results
    half = results.model_copy(update={"decisions": tuple(
        each.model_copy(update={"decision": "incomplete", "better": (), "worse": ()})
        for each in results.decisions
    )})  # fmt: skip
    assert conclude(half).headline.endswith("with its baseline on all 3 axes.")
    empty = Results(study="s", base="b", axes={}, models={}, contrasts=())
    assert conclude(empty).headline == "No verdict: there is no baseline to compare merges with."


def test_the_best_supported_merge_comes_first(decided: Decided) -> None:
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
            best = decided({name: ranked[name] for name in remaining}).stages["sft"].best
            assert best is not None
            assert best.a == expected
            remaining.remove(expected)


def test_a_loss_is_no_support(
    study: ReportInput, make_contrast: MakeContrast, make_decisions: MakeDecisions
) -> None:
    """Of two undecided merges the one without a significant loss is the better supported."""
    contrasts = tuple(
        make_contrast(name, "sft-15", axis, gap, 0.04, p)
        for name, axis, gap, p in (
            ("sft-ties", "general", 0.01, 0.3),
            ("sft-ties", "safety", 0.05, 0.01),
            ("sft-linear", "general", 0.01, 0.4),
            ("sft-linear", "safety", 0.01, 0.9),
        )
    )
    results = study.results.model_copy(update={"contrasts": contrasts})
    decisions = make_decisions(results, [("sft-ties", "sft-15"), ("sft-linear", "sft-15")])
    assert [each.decision for each in decisions] == ["undecided", "undecided"]
    best = conclude(results.model_copy(update={"decisions": decisions})).stages["sft"].best
    assert best is not None
    assert best.a == "sft-linear"


def test_gains_of_different_units_are_weighed_by_their_scales(
    make_given: MakeGiven, make_contrast: MakeContrast, make_decisions: MakeDecisions
) -> None:
    """One point of a grade from 1 to 10 does not outweigh 30 percentage points."""
    results = make_given(["tone", "mmlu"]).results
    contrasts = tuple(
        make_contrast(name, "mixed", axis, gap, 0.01, 0.3)
        for name, tone, mmlu in (("slerp", 1.0, 0.0), ("ties", 0.0, 0.3))
        for axis, gap in (("tone", tone), ("mmlu", mmlu))
    )
    results = results.model_copy(update={"contrasts": contrasts})
    decisions = make_decisions(results, [("slerp", "mixed"), ("ties", "mixed")])
    best = conclude(results.model_copy(update={"decisions": decisions})).stages["given"].best
    assert best is not None
    assert best.a == "ties"


def test_mentions_an_expert_that_beats_the_merge_itself(decided: Decided) -> None:
    """When one expert's values dominate the best merge and the mix, the sentence says so."""
    # dpo-100 has 75.0 % wins and 15.9 % harm; dpo-linear 75.0 % and 25.7 %; dpo-15 71.0 %, 22.7 %.
    conclusion = decided({"dpo-linear": (0.04, 0.03, 0.2)})
    single = conclusion.stages["dpo"].single
    assert single is not None
    assert single.name == "dpo-100"
    assert single.over == ("dpo-linear", "dpo-15")
    assert conclusion.evidence.endswith("on both axes as dpo-linear and dpo-15.")


def test_no_expert_is_mentioned_when_none_dominates(decided: Decided) -> None:
    """An expert that is better on one axis only is not mentioned."""
    conclusion = decided({"sft-slerp": (0.05, -0.01, 0.2)})
    assert conclusion.stages["sft"].single is None
    assert "alone" not in conclusion.stages["sft"].sentence


def test_stage_sentence_counts_every_merge_once(study: ReportInput) -> None:
    """The counts in a stage's sentence add up to its merges."""
    sentence = conclude(study.results).stages["dpo"].sentence
    assert sentence.startswith("DPO: of 4 merges against dpo-15, ")
    assert "2 beat it, 1 trades one axis for the other, 1 is undecided" in sentence
    assert sentence.endswith("alone measures at least as well on both axes as dpo-15.")
