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


BETTER, WORSE, UNCLEAR = estimate(0.01, 0.03), estimate(-0.03, -0.01), estimate(-0.01, 0.02)


@pytest.mark.parametrize(
    ("win", "harm", "decision", "words"),
    [
        (BETTER, WORSE, "agrees", "better win rate and harm rate, worse on neither"),
        (BETTER, UNCLEAR, "agrees", "better win rate, worse on neither"),
        (UNCLEAR, WORSE, "agrees", "better harm rate, worse on neither"),
        (BETTER, BETTER, "disagrees", "a trade: better win rate, worse harm rate"),
        (WORSE, WORSE, "disagrees", "a trade: better harm rate, worse win rate"),
        (WORSE, BETTER, "disagrees", "worse win rate and harm rate"),
        (UNCLEAR, BETTER, "disagrees", "worse harm rate"),
        (UNCLEAR, UNCLEAR, "not decidable", "neither interval excludes zero"),
    ],
)
def test_the_rule(win: Estimate, harm: Estimate, decision: str, words: str) -> None:
    """Better on one axis and worse on neither agrees; worse on any disagrees; else undecided."""
    assert decide(win, harm) == (decision, words)


@pytest.mark.parametrize(
    ("published", "ours", "decision"),
    [
        (7.0, BETTER, "agrees"),
        (7.0, WORSE, "disagrees"),
        (-7.0, WORSE, "agrees"),
        (7.0, UNCLEAR, "not decidable"),
        (0.0, BETTER, "not decidable"),
    ],
)
def test_one_number_agrees_by_its_sign(published: float, ours: Estimate, decision: str) -> None:
    """The paper's numbers have no interval; ours must exclude zero to say anything."""
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
        ("Merging before DPO beats after", {"merge-dpo": (0.75, 0.35)}, "not decidable"),
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
