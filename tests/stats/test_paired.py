"""Paired tests agree with enumeration, with scipy, and keep their level."""

import itertools

import numpy as np
import pytest
from scipy import stats

from mixmerge.stats import paired


def by_enumeration(totals: list[float]) -> float:
    observed = abs(sum(totals))
    sums = [
        abs(sum(sign * total for sign, total in zip(signs, totals, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(totals))
    ]
    return sum(value >= observed - 1e-12 for value in sums) / len(sums)


@pytest.mark.parametrize(
    "totals", [[1.0], [2.0, -1.0, 0.5], [0.1, 0.2, 0.3, -0.6, 0.7, 0.1], [3.0, 0.0, 1.0, 0.0]]
)
def test_few_clusters_are_counted_exactly(totals: list[float]) -> None:
    """The p-value is the share of all sign patterns at least as extreme, zeros not mattering."""
    p = paired.sign_flip_p(np.array(totals), np.random.default_rng(0))
    assert p == by_enumeration(totals)


def test_no_difference_at_all_is_no_evidence() -> None:
    """Clusters without any difference give p = 1."""
    assert paired.sign_flip_p(np.zeros(30), np.random.default_rng(0)) == 1.0


def test_many_clusters_agree_with_scipys_permutation_test() -> None:
    """The Monte Carlo p-value is scipy's for paired samples, up to the noise of the draws."""
    totals = np.random.default_rng(1).normal(0.25, 1, size=60)
    expected = stats.permutation_test(
        (totals, np.zeros(60)),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(2),
    ).pvalue
    p = paired.sign_flip_p(totals, np.random.default_rng(3), draws=20_000)
    assert p == pytest.approx(expected, abs=0.01)


def test_monte_carlo_never_claims_zero_and_repeats_with_its_seed() -> None:
    """The smallest p-value is 1 / (draws + 1), and the same seed gives the same p-value."""
    assert paired.sign_flip_p(np.ones(100), np.random.default_rng(0), draws=99) == 0.01
    totals = np.random.default_rng(4).normal(0.1, 1, size=50)
    first, second = (paired.sign_flip_p(totals, np.random.default_rng(5)) for _ in range(2))
    assert first == second


def test_level_is_kept_when_nothing_differs() -> None:
    """Over 1,000 studies without a true difference, p <= 0.05 in about 5 % of them."""
    rng = np.random.default_rng(6)
    hits = [
        paired.sign_flip_p(rng.integers(-2, 3, size=30).astype(float), rng, draws=199) <= 0.05
        for _ in range(1000)
    ]
    assert 0.03 < np.mean(hits) < 0.065


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (3, 3), (1, 9), (12, 4)])
def test_mcnemar_is_the_binomial_tail(only_a: int, only_b: int) -> None:
    """The exact p-value doubles the smaller binomial tail, up to one."""
    tail = stats.binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)
    assert paired.mcnemar_p(only_a, only_b) == pytest.approx(min(1.0, 2 * tail))


def test_a_large_mcnemar_is_the_binomial_tail_too() -> None:
    """Thousands of differing prompts are counted exactly, at once."""
    tail = stats.binom.cdf(4900, 10_000, 0.5)
    assert paired.mcnemar_p(4900, 5100) == pytest.approx(2 * tail, rel=1e-9)


def test_many_columns_at_once_are_each_column_alone() -> None:
    """Few clusters and differences of one size are exact; other p-values agree up to the draws."""
    rng = np.random.default_rng(7)
    few = np.zeros(80)
    few[:6] = rng.normal(size=6)
    signs = rng.choice([-0.5, 0.0, 0.5], 80, p=[0.2, 0.4, 0.4])
    graded = rng.normal(0.2, 1, (80, 2))
    found = paired.sign_flip_ps(np.column_stack([few, signs, graded, np.zeros(80)]), rng)
    assert found[0] == by_enumeration(few[:6].tolist())
    counts = int(np.sum(signs > 0)), int(np.sum(signs < 0))
    assert found[1] == pytest.approx(stats.binomtest(counts[0], sum(counts)).pvalue)
    for column in (0, 1):
        alone = paired.sign_flip_p(graded[:, column], np.random.default_rng(8))
        assert found[2 + column] == pytest.approx(alone, abs=0.015)
    assert found[4] == 1.0
