"""Tests of paper.mechanisms: measures of pairs beside what merging them brings."""

from itertools import combinations

import numpy as np
import pytest
from paper.mechanisms import OUTCOME, relation_table, relations
from paper.scores import Findings, Mechanism
from scipy.stats import spearmanr
from tests.paper.worlds import published_world

LANGUAGES = ["en", "hi", "fr", "es", "ar"]
PAIRS = [f"{a}-{b}" for a, b in combinations(LANGUAGES, 2)]


def findings(mechanisms: list[Mechanism]) -> Findings:
    """Findings with these mechanisms."""
    return Findings([0, 1], LANGUAGES, published_world(), mechanisms=mechanisms)


def measured(rng: np.random.Generator) -> list[Mechanism]:
    """Two seeds of every pair and of the experts, at random."""
    return [
        Mechanism(pair, seed, {"cosine": rng.normal(), "same": 1.0, OUTCOME: rng.normal()})
        for pair in PAIRS
        for seed in (0, 1)
    ] + [Mechanism("sft", 0, {"cosine": 0.5, "general gain kept": 0.2})]


def test_the_correlation_is_that_of_means_over_seeds() -> None:
    """Spearman's correlation over pairs of languages, without the experts, and a p-value."""
    mechanisms = measured(np.random.default_rng(0))
    (found,) = relations(findings(mechanisms))
    means = {
        name: [np.mean([m.values[name] for m in mechanisms if m.pair == pair]) for pair in PAIRS]
        for name in ("cosine", OUTCOME)
    }
    expected = spearmanr(means["cosine"], means[OUTCOME]).statistic
    assert found.measure == "cosine"
    assert found.association.correlation == pytest.approx(float(expected))
    assert found.association.pairs == len(PAIRS)
    assert 1 / 120 <= found.association.p <= 1
    (row,) = relation_table(findings(mechanisms)).rows
    assert [cell.text for cell in row] == [
        "cosine",
        f"{expected:+.2f}".replace("-", "−"),
        f"{found.association.p:.3f}",
        "10",
    ]


def test_nothing_is_related_where_a_pair_is_missing() -> None:
    """With a pair less, or with three languages, there is no table of relations."""
    mechanisms = measured(np.random.default_rng(1))
    lacking = [each for each in mechanisms if each.pair != "fr-es"]
    of_three = [each for each in mechanisms if not {"es", "ar"} & {*each.pair.split("-")}]
    assert relations(findings(lacking)) == []
    assert relations(findings(of_three)) == []
