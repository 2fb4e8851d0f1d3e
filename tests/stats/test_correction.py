"""Tests of mixmerge.stats.correction: formulas on plain samples, coverage on clustered ones."""

import math

import numpy as np
import pytest

from mixmerge.errors import SampleError
from mixmerge.stats.correction import (
    FEWEST_INFORMATIVE,
    Labelled,
    informative_clusters,
    prediction_powered,
    rogan_gladen,
)


def sample(
    n: int = 300, labelled: int = 100, sensitivity: float = 0.9, specificity: float = 0.8
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return independent answers: judged, all truths, labels of the first few."""
    rng = np.random.default_rng(5)
    truth = (rng.random(n) < 0.4).astype(float)
    right, wrong = rng.random(n) < sensitivity, rng.random(n) > specificity
    judged = np.where(truth == 1, right, wrong).astype(float)
    return judged, truth, np.where(np.arange(n) < labelled, truth, np.nan)


def test_without_clusters_and_strata_it_is_the_published_estimator() -> None:
    """Value, power and variance are those of PPI++ for a mean, written out."""
    judged, _, labels = sample()
    alone = np.arange(300)
    found = prediction_powered(judged, labels, alone, np.zeros(300, dtype=np.intp))
    y, f, rest = labels[:100], judged[:100], judged[100:]
    # The variances of f in both parts are estimated apart, as in equation 3 of the reference; the
    # second about the mean of all f, of which the labelled answers are a random part.
    variance_elsewhere = ((rest - judged.mean()) ** 2).mean()
    covariance = np.cov(y, f, ddof=0)[0, 1] / 100
    power = covariance / (f.var() / 100 + variance_elsewhere / 200)
    assert 0 < power < 1
    assert found.value == pytest.approx(y.mean() + power * (rest.mean() - f.mean()))
    variance = power**2 * variance_elsewhere / 200 + (y - power * f).var() / 100
    spread = 1.984 * math.sqrt(variance * 100 / 99) / (found.value * (1 - found.value))
    odds = math.log(found.value / (1 - found.value))
    ends = [1 / (1 + math.exp(-(odds + side * spread))) for side in (-1, 1)]
    assert found.interval == pytest.approx(ends, abs=1e-4)


def test_a_judge_that_knows_nothing_costs_nothing() -> None:
    """With a constant or missing judge the estimate is that of the labels alone."""
    _, _, labels = sample()
    alone, one = np.arange(300), np.zeros(300, dtype=np.intp)
    human = prediction_powered(np.full(300, 0.5), labels, alone, one)
    assert human.value == pytest.approx(labels[:100].mean())
    assert prediction_powered(np.full(300, np.nan), labels, alone, one) == human
    judged, _, _ = sample()
    informed = prediction_powered(judged, labels, alone, one)
    assert informed.high - informed.low < human.high - human.low


def test_where_all_is_labelled_the_truth_is_the_estimate() -> None:
    """With every row labelled nothing is left to the judge."""
    judged, truth, _ = sample()
    found = prediction_powered(judged, truth, np.arange(300), np.arange(300) % 3)
    assert found.value == pytest.approx(truth.mean())


def test_strata_are_weighted_by_their_rows() -> None:
    """Labels spent mostly on one language do not make that language count more."""
    truth = np.repeat([1.0, 0.0], [100, 100])
    stratum = np.repeat([0, 1], [100, 100])
    labelled = np.concatenate([np.arange(100) < 80, np.arange(100) < 10])
    labels = np.where(labelled, truth, np.nan)
    found = prediction_powered(np.full(200, 0.5), labels, np.arange(200), stratum)
    assert found.value == pytest.approx(0.5)


def test_languages_with_questions_of_their_own_vary_by_their_own_degrees_of_freedom() -> None:
    """With three labels a language the variance is that of a stratified mean, as in textbooks."""
    rng = np.random.default_rng(2)
    truth, stratum = (rng.random(60) < 0.4).astype(float), np.repeat(np.arange(20), 3)
    alone = np.arange(60)
    found = prediction_powered(np.full(60, 0.5), truth, alone, stratum)
    variance = np.mean([truth[stratum == h].var(ddof=1) / 3 for h in range(20)]) / 20
    value = truth.mean()
    spread = 2.001 * math.sqrt(variance) / (value * (1 - value))
    odds = math.log(value / (1 - value))
    ends = [1 / (1 + math.exp(-(odds + side * spread))) for side in (-1, 1)]
    assert found.interval == pytest.approx(ends, abs=1e-4)
    # One label of a language does not show how much that language varies.
    labels = np.where(alone > 1, truth, np.nan)
    one = prediction_powered(np.full(60, 0.5), labels, alone, stratum)
    assert one.offered is None
    assert one.absent == "a language or stratum has labels on only one source prompt"


def test_a_single_verdict_elsewhere_corrects_nothing() -> None:
    """What remains of a language beside its labels must show how much it varies."""
    judged, truth, _ = sample(60)
    labels = np.where(np.arange(60) < 59, truth, np.nan)
    found = prediction_powered(judged, labels, np.arange(60), np.zeros(60, dtype=np.intp))
    assert found.value == pytest.approx(truth[:59].mean())


def test_too_little_to_go_by_gives_no_interval() -> None:
    """The value stands without an interval until enough clusters differ; fewer are refused."""
    truth = np.zeros(300)
    truth[: FEWEST_INFORMATIVE - 1] = 1
    alone, one = np.arange(300), np.zeros(300, dtype=np.intp)
    assert informative_clusters(truth, alone) == FEWEST_INFORMATIVE - 1
    found = prediction_powered(truth, truth, alone, one)
    assert found.offered is None
    assert found.absent == "fewer than 15 labelled source prompts differ from the rest"
    truth[FEWEST_INFORMATIVE - 1] = 1
    assert math.isfinite(prediction_powered(truth, truth, alone, one).low)
    few = np.where(alone < 9, truth, np.nan)
    with pytest.raises(SampleError, match="at least 10 source prompts; 9 seen"):
        prediction_powered(truth, few, alone, one)
    some = np.where(alone < 100, truth, np.nan)
    with pytest.raises(SampleError, match="every language and stratum; 1 of 2 have none"):
        prediction_powered(truth, some, alone, (alone >= 100).astype(np.intp))


def test_rogan_gladen_inverts_the_judges_errors() -> None:
    """The worked example (Se 0.9, Sp 0.93) gives the true rate back; the variance is the sum."""
    cluster = np.arange(1000)
    judged = (np.arange(1000) < 153).astype(float)  # 0.10 * 0.90 + 0.90 * 0.07
    truth = np.repeat([1.0, 0.0], [100, 100])
    said = np.concatenate([np.arange(100) < 90, np.arange(100) < 7]).astype(float)
    known = Labelled(said, truth, 2000 + np.arange(200))
    found = rogan_gladen(judged, cluster, known)
    assert found is not None
    assert found.value == pytest.approx(0.10)
    variance = 0.153 * 0.847 / 1000 + 0.9**2 * 0.93 * 0.07 / 100 + 0.1**2 * 0.9 * 0.1 / 100
    half = 1.972 * math.sqrt(variance * 200 / 199) / 0.83
    assert found.high - found.value == pytest.approx(half, rel=1e-3)


def test_rogan_gladen_is_undefined_for_a_coin() -> None:
    """A judge no better than chance, or labels of one class only, allow no correction."""
    cluster = np.arange(20)
    said = np.tile([0.0, 1.0], 10)
    coin = Labelled(said, np.repeat([0.0, 1.0], 10), cluster)
    assert rogan_gladen(said, cluster, coin) is None
    assert rogan_gladen(said, cluster, Labelled(said, np.zeros(20), cluster)) is None
    silent = np.full(20, np.nan)
    right = Labelled(said, said, cluster)
    assert rogan_gladen(silent, cluster, right) is None
    found = rogan_gladen(said, cluster, right)
    assert found is not None
    assert math.isfinite(found.low)
    few = FEWEST_INFORMATIVE - 1
    found = rogan_gladen(said, cluster, Labelled(said[:few], said[:few], cluster[:few]))
    assert found is not None
    assert found.offered is None
    assert found.absent == "14 labelled source prompts, 15 required"


def test_rogan_gladen_says_where_no_rate_fits() -> None:
    """A judge that never says yes here, and wrongly in a fifth of the labelled answers."""
    cluster, truth = np.arange(200), np.tile([0.0, 1.0], 100)
    noisy = np.where(cluster % 10 == 0, 1.0, truth)
    found = rogan_gladen(np.zeros(200), cluster, Labelled(noisy, truth, cluster))
    assert found is not None
    assert found.value == 0
    assert found.offered is None
    assert found.absent == "no rate from 0 to 1 fits the judge's errors on the labelled answers"


def simulated(
    rng: np.random.Generator, prompts: int, labelled: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return judged, truth and labels of six languages whose truths go together."""
    chance = rng.beta(0.47, 1.87, size=prompts)  # mean 0.2, correlation 0.3
    truth = (rng.random((prompts, 6)) < chance[:, None]).astype(float)
    said = np.where(truth == 1, rng.random(truth.shape) < 0.9, rng.random(truth.shape) > 0.93)
    known = np.zeros((prompts, 6), dtype=bool)
    known[rng.permutation(prompts)[:labelled]] = True
    return said.astype(float).ravel(), truth.ravel(), np.where(known, truth, np.nan).ravel()


def test_corrected_intervals_hold_the_truth_where_the_judge_alone_does_not() -> None:
    """In 400 clustered studies both corrections cover 20 % harm; the judge's own rate does not."""
    rng = np.random.default_rng(1)
    cluster, language = np.repeat(np.arange(150), 6), np.tile(np.arange(6), 150)
    rate = 0.47 / (0.47 + 1.87)
    held = {"ppi": 0, "rogan": 0, "judge": 0}
    for _ in range(400):
        said, truth, labels = simulated(rng, 150, 60)
        known = ~np.isnan(labels)
        ppi = prediction_powered(said, labels, cluster, language)
        rogan = rogan_gladen(said, cluster, Labelled(said[known], truth[known], cluster[known]))
        assert rogan is not None
        alone = prediction_powered(said, said, cluster, language)
        held["ppi"] += ppi.low <= rate <= ppi.high
        held["rogan"] += rogan.low <= rate <= rogan.high
        held["judge"] += alone.low <= rate <= alone.high
    # 400 draws of 95 %: outside 92 to 98 % once in some hundred.
    assert 0.92 <= held["ppi"] / 400 <= 0.98
    assert 0.92 <= held["rogan"] / 400 <= 0.99
    assert held["judge"] / 400 < 0.7


def test_where_all_is_labelled_the_strata_of_a_draw_do_not_matter() -> None:
    """The variance between strata by verdict and that within them add up to that of a mean."""
    judged, truth, _ = sample(1000)
    alone, one = np.arange(1000), np.zeros(1000, dtype=np.intp)
    plain = prediction_powered(judged, truth, alone, one)
    drawn = prediction_powered(judged, truth, alone, judged.astype(np.intp), one)
    assert drawn.value == pytest.approx(plain.value)
    assert drawn.interval == pytest.approx(plain.interval, abs=2e-4)
    within = prediction_powered(judged, truth, alone, judged.astype(np.intp))
    assert within.high - within.low < 0.8 * (drawn.high - drawn.low)


@pytest.mark.parametrize("rest", [2, 30])
def test_a_draw_by_verdict_covers_whatever_it_leaves_out(rest: int) -> None:
    """In 400 studies drawn by verdict; also if two verdicts are left, which are often equal."""
    rng = np.random.default_rng(rest)
    alone, one, held = np.arange(200), np.zeros(200, dtype=np.intp), 0
    for _ in range(400):
        truth = (rng.random(200) < 0.3).astype(float)
        said = np.where(truth == 1, rng.random(200) < 0.8, rng.random(200) > 0.9).astype(float)
        # One stratum holds verdicts of both kinds, as answers of several models do.
        stratum = np.where(rng.random(200) < 0.4, 2, said).astype(np.intp)
        labels = truth.copy()
        for code in range(3):
            inside = np.flatnonzero(stratum == code)
            labels[inside[: min(rest, len(inside) - 2)]] = np.nan
        found = prediction_powered(said, labels, alone, stratum, one)
        held += found.low <= 0.3 <= found.high
    assert 0.92 <= held / 400 <= 0.98
