"""Tests of paper.claims: the rule that decides."""

import pytest
from paper.claims import agreement, claims, decide, has_spread, sign
from paper.published import METHODS, TABLE_1
from tests.paper.worlds import published_world

from mixmerge.stats.estimate import Estimate


def estimate(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 100, 50, "two-way")


def test_a_difference_without_spread_decides_nothing() -> None:
    """Where every answer gives the same difference there is no interval to exclude zero."""
    same = estimate(0.5, 0.5)
    assert not has_spread(same)
    assert sign(same) == sign(estimate(-0.5, -0.5)) == 0
    assert decide(same, same)[0] == agreement(7.0, same) == "not decidable"


def test_the_papers_own_distances_from_slerp_are_those_of_its_table() -> None:
    """The words beside the balance claim follow from the published numbers."""
    balance = {m: TABLE_1[f"dpo-{m}"].win - TABLE_1[f"dpo-{m}"].harm for m in METHODS}
    behind = {method: balance["slerp"] - own for method, own in balance.items()}
    assert behind["dare-ties"] < 2
    assert round(behind["ties"]) == 7
    (claim,) = (c for c in claims(published_world()) if c.name == "SLERP balances best")
    assert "DARE-TIES within 2 points, TIES 7 below" in claim.paper


BETTER, WORSE, OPEN = estimate(0.01, 0.05), estimate(-0.05, -0.01), estimate(-0.06, 0.05)
NOT_WORSE, NOT_BETTER, SAME = estimate(-0.01, 0.06), estimate(-0.06, 0.01), estimate(-0.01, 0.02)


@pytest.mark.parametrize(
    ("win", "harm", "decision", "words"),
    [
        (BETTER, WORSE, "agrees", "better win rate and harm rate, under 3 points worse on either"),
        (BETTER, NOT_BETTER, "agrees", "better win rate, under 3 points worse on either"),
        (SAME, WORSE, "agrees", "better harm rate, under 3 points worse on either"),
        (BETTER, OPEN, "not decidable", "better win rate, but perhaps 3 points worse elsewhere"),
        (BETTER, BETTER, "disagrees", "a trade: better win rate, worse harm rate"),
        (WORSE, WORSE, "disagrees", "a trade: better harm rate, worse win rate"),
        (
            WORSE,
            BETTER,
            "disagrees",
            "worse win rate and harm rate, under 3 points better on either",
        ),
        (NOT_BETTER, BETTER, "disagrees", "worse harm rate, under 3 points better on either"),
        (
            OPEN,
            BETTER,
            "not decidable",
            "worse harm rate, but perhaps 3 points better elsewhere",
        ),
        (SAME, SAME, "equivalent", "both differences are below 3 points"),
        (OPEN, OPEN, "not decidable", "neither interval excludes zero"),
        (NOT_WORSE, SAME, "not decidable", "neither interval excludes zero"),
    ],
)
def test_the_rule(win: Estimate, harm: Estimate, decision: str, words: str) -> None:
    """Better on one axis and not worse by the margin agrees; a possible loss decides nothing."""
    assert decide(win, harm) == (decision, words)


@pytest.mark.parametrize(
    ("published", "ours", "decision"),
    [
        (3, BETTER, "agrees"),
        (-3, WORSE, "agrees"),
        (40, BETTER, "smaller"),
        (-40, WORSE, "smaller"),
        (0.5, BETTER, "larger"),
        (3, WORSE, "disagrees"),
        (-3, BETTER, "disagrees"),
        (3, OPEN, "not decidable"),
        (40, OPEN, "smaller"),
        (0, BETTER, "not decidable"),
    ],
)
def test_one_number_agrees_by_sign_and_size(
    published: float, ours: Estimate, decision: str
) -> None:
    """The published number lies inside our interval, or ours is smaller, larger or opposite."""
    assert agreement(published, ours) == decision


def decisions(**changes: tuple[float, float]) -> dict[str, str]:
    return {claim.name: claim.decision for claim in claims(published_world(**changes))}


def test_a_world_as_the_paper_says_agrees_with_all_five() -> None:
    """Where every claim holds by a wide margin, every claim agrees."""
    assert decisions() == {
        "Merging beats mixing": "agrees",
        "SLERP balances best": "agrees",
        "DPO merges beat SFT merges": "agrees",
        "Merging before DPO beats after": "agrees",
        "Three related languages beat six": "agrees",
    }


@pytest.mark.parametrize(
    ("name", "changes", "decision"),
    [
        ("Merging beats mixing", {"dpo-15": (0.8, 0.2)}, "disagrees"),
        ("SLERP balances best", {"dpo-ties": (0.6, 0.1)}, "disagrees"),
        ("SLERP balances best", {"dpo-linear": (0.75, 0.35)}, "not decidable"),
        ("Merging before DPO beats after", {"merge-dpo": (0.70, 0.30)}, "disagrees"),
        ("Merging before DPO beats after", {"merge-dpo": (0.75, 0.35)}, "equivalent"),
        ("Three related languages beat six", {"three-ties": (0.60, 0.45)}, "disagrees"),
    ],
)
def test_a_world_against_a_claim_is_noticed(
    name: str, changes: dict[str, tuple[float, float]], decision: str
) -> None:
    """Changing the models of one claim changes that decision."""
    assert decisions(**changes)[name] == decision


def test_a_claim_without_its_models_is_left_out() -> None:
    """An unfinished grid decides only what it can."""
    found = published_world()
    for table in found.axes.values():
        del table.scores["merge-dpo"]
    assert "Merging before DPO beats after" not in {claim.name for claim in claims(found)}
