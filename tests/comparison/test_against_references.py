"""The numbers of a comparison against statsmodels and scipy."""

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from mixmerge.comparison.compare import compare
from mixmerge.comparison.result import Pair
from mixmerge.stats.paired import sign_flip_ps

Array = NDArray[np.float64]


def write_scores(
    path: Path, scores: dict[str, Array], clusters: NDArray[np.int_] | None = None
) -> Path:
    """Write a table with a row an item and model; NaN is a gap."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "model", "score", *["cluster"] * (clusters is not None)])
        for model, values in scores.items():
            for item, value in enumerate(values):
                cluster = [] if clusters is None else [f"c{clusters[item]}"]
                writer.writerow(
                    [item, model, "" if np.isnan(value) else repr(float(value)), *cluster]
                )
    return path


def pair_of(path: Path, **how: object) -> Pair:
    (pair,) = compare([path], **how).contrasts  # type: ignore[arg-type]
    return pair


@pytest.mark.parametrize("n", [60, 400, 3000])
def test_yes_or_no_answers_against_mcnemar(tmp_path: Path, n: int) -> None:
    """Independent yes-or-no answers: McNemar's exact test, which is that of flipped signs."""
    rng = np.random.default_rng(n)
    a = (rng.random(n) < 0.6).astype(float)
    b = np.where(rng.random(n) < 0.3, rng.random(n) < 0.4, a).astype(float)
    pair = pair_of(write_scores(tmp_path / "s.csv", {"b": b, "a": a}))
    table = [[int(np.sum((a == x) & (b == y))) for y in (1, 0)] for x in (1, 0)]
    exact = float(mcnemar(table, exact=True).pvalue)
    assert pair.p_mcnemar == pytest.approx(exact, rel=1e-9)
    assert pair.p >= exact * (1 - 1e-9)
    assert pair.difference == pytest.approx(a.mean() - b.mean(), abs=1e-12)
    # Without continuity correction the asymptotic test is the limit of the t test's square.
    assert pair.p_t == pytest.approx(float(stats.ttest_rel(a, b).pvalue), rel=1e-9)


def test_graded_answers_against_a_paired_t_test(tmp_path: Path) -> None:
    """Independent grades: `p_t` and `se` are those of scipy's paired t test."""
    rng = np.random.default_rng(1)
    b = rng.beta(2, 2, 200)
    a = np.clip(b + rng.normal(0.012, 0.1, 200), 0, 1)
    pair = pair_of(write_scores(tmp_path / "s.csv", {"b": b, "a": a}))
    found = stats.ttest_rel(a, b)
    assert pair.p_t == pytest.approx(float(found.pvalue), rel=1e-9)
    assert pair.se == pytest.approx((a - b).std(ddof=1) / np.sqrt(200), rel=1e-9)
    assert pair.p == pytest.approx(float(found.pvalue), rel=0.25)


def test_flipped_signs_against_a_permutation_test(tmp_path: Path) -> None:
    """With few differing items `p` is scipy's exact permutation test of pairs, or above it."""
    rng = np.random.default_rng(2)
    b = rng.random(40)
    a = b.copy()
    a[:12] = np.clip(a[:12] + rng.normal(0.05, 0.2, 12), 0, 1)
    pair = pair_of(write_scores(tmp_path / "s.csv", {"b": b, "a": a}))
    differ = a != b
    exact = stats.permutation_test(
        (a[differ], b[differ]),
        lambda x, y, axis: np.mean(x, axis=axis) - np.mean(y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=10_000,  # more than there are patterns: it counts them all
    )
    assert int(differ.sum()) == 12
    assert pair.p >= float(exact.pvalue) - 1e-9
    (flipped,) = sign_flip_ps((a - b)[:, None], rng)
    assert flipped == pytest.approx(float(exact.pvalue), abs=1e-9)


def test_clusters_of_one_size_against_cluster_robust_regression(tmp_path: Path) -> None:
    """Clustered differences: standard error and t test of statsmodels' cluster-robust OLS."""
    rng = np.random.default_rng(3)
    clusters = np.repeat(np.arange(50), 4)
    shift = rng.normal(0.05, 0.2, 50)[clusters]
    b = (rng.random(200) < 0.5).astype(float)
    a = (rng.random(200) < np.clip(0.5 + shift, 0, 1)).astype(float)
    pair = pair_of(write_scores(tmp_path / "s.csv", {"b": b, "a": a}, clusters))
    fitted = OLS(a - b, np.ones(200)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "df_correction": True}, use_t=True
    )
    # statsmodels multiplies by (n - 1) / (n - 1) for one coefficient and C / (C - 1).
    assert pair.se == pytest.approx(float(fitted.bse[0]), rel=1e-9)
    assert pair.p_t == pytest.approx(float(fitted.pvalues[0]), rel=1e-9)
    assert (pair.n, pair.items, pair.p_mcnemar) == (50, 200, None)


def test_clusters_of_other_sizes_are_near_cluster_robust_regression(tmp_path: Path) -> None:
    """Of unequal clusters the standard error is near statsmodels': CR2, not CR1."""
    rng = np.random.default_rng(4)
    clusters = np.repeat(np.arange(60), rng.integers(1, 8, 60))
    n = len(clusters)
    b = rng.random(n)
    a = np.clip(b + rng.normal(0, 0.1, 60)[clusters] + rng.normal(0, 0.1, n), 0, 1)
    pair = pair_of(write_scores(tmp_path / "s.csv", {"b": b, "a": a}, clusters))
    fitted = OLS(a - b, np.ones(n)).fit(cov_type="cluster", cov_kwds={"groups": clusters})
    assert pair.se == pytest.approx(float(fitted.bse[0]), rel=0.03)


def test_adjusted_p_values_against_statsmodels(tmp_path: Path) -> None:
    """Holm and Benjamini-Hochberg over all comparisons."""
    rng = np.random.default_rng(5)
    base = (rng.random(300) < 0.5).astype(float)
    scores = {"base": base}
    for k in range(6):
        scores[f"m{k}"] = np.where(rng.random(300) < 0.1 * k, rng.random(300) < 0.6, base)
    found = compare([write_scores(tmp_path / "s.csv", scores)]).contrasts
    raw = [pair.p for pair in found]
    for method, name in (("holm", "p_adjusted"), ("fdr_bh", "p_bh")):
        expected = multipletests(raw, method=method)[1]
        assert [getattr(pair, name) for pair in found] == pytest.approx(list(expected))


def test_epochs_are_averaged(tmp_path: Path) -> None:
    """Repeats of an item are one observation: their mean, as a paired t test of means has it."""
    rng = np.random.default_rng(6)
    hard = rng.random(80)
    answers = {m: rng.random((80, 5)) < hard[:, None] + lift for m, lift in (("b", 0), ("a", 0.1))}
    path = tmp_path / "s.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "model", "score", "epoch"])
        for model, own in answers.items():
            for (item, epoch), right in np.ndenumerate(own):
                writer.writerow([item, model, int(right), epoch])
    pair = pair_of(path)
    found = stats.ttest_rel(answers["a"].mean(axis=1), answers["b"].mean(axis=1))
    assert pair.p_t == pytest.approx(float(found.pvalue), rel=1e-9)
    assert pair.items == 80


def test_needed_items_show_the_difference(tmp_path: Path) -> None:
    """With the items that are said to be needed, 4 of 5 samples of that difference are shown."""
    rng = np.random.default_rng(7)

    def draw(n: int) -> tuple[Array, Array]:
        kind = rng.choice(4, n, p=[0.15, 0.09, 0.4, 0.36])
        return np.isin(kind, (0, 2)).astype(float), np.isin(kind, (1, 2)).astype(float)

    a = b = np.zeros(150)
    while abs(np.mean(a - b) - 0.06) > 0.002:
        a, b = draw(150)
    pair = pair_of(write_scores(tmp_path / "s.csv", {"b": b, "a": a}))
    assert pair.needed is not None
    shown = 0
    for _ in range(200):
        a, b = draw(pair.needed)
        only_a, only_b = int(np.sum(a > b)), int(np.sum(b > a))
        shown += float(mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue) < 0.05
    assert 0.7 < shown / 200 < 0.9
