"""Tests of mixmerge.stats.agreement against worked examples and first principles."""

import numpy as np
import pytest
from scipy.stats import binomtest, t

from mixmerge.errors import SampleError
from mixmerge.stats.agreement import (
    clustered_share,
    coefficient,
    cohen_kappa,
    coincidences,
    confusion,
    krippendorff_alpha,
    raw_agreement,
    youden,
)
from mixmerge.stats.bootstrap import Codes

# Krippendorff (2011), example C: four observers, twelve units, values 1 to 5, gaps.
_GAP = -1
OBSERVERS = (
    np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
            [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
        ]
    ).T
    - 1
)


def test_alpha_is_that_of_krippendorffs_example() -> None:
    """Nominal and ordinal alpha equal the published 0.743 and 0.815, gaps included."""
    table = coincidences(OBSERVERS, 5).sum(axis=0)
    assert table.sum() == 40
    assert float(krippendorff_alpha(table)) == pytest.approx(0.743, abs=5e-4)
    assert float(krippendorff_alpha(table, "ordinal")) == pytest.approx(0.815, abs=5e-4)


def test_kappa_falls_with_prevalence_for_one_judge() -> None:
    """A judge with Se 0.90 and Sp 0.95 has kappa 0.85, 0.82, 0.61, 0.40 as harm gets rarer."""
    kappas = []
    for prevalence in (0.5, 0.2, 0.05, 0.02):
        table = np.array(
            [
                [0.95 * (1 - prevalence), 0.05 * (1 - prevalence)],
                [0.10 * prevalence, 0.90 * prevalence],
            ]
        )
        kappas.append(round(float(cohen_kappa(table)), 2))
        assert float(youden(table)) == pytest.approx(0.85)
    assert kappas == [0.85, 0.82, 0.61, 0.40]


def test_what_cannot_disagree_has_no_coefficient() -> None:
    """With one outcome throughout, kappa and alpha are undefined, not 1; raw agreement is 1."""
    same = np.zeros(20, dtype=np.intp)
    table = confusion(same, same, 2)
    assert float(raw_agreement(table.sum(axis=0))) == 1
    for statistic in (cohen_kappa, youden):
        assert np.isnan(statistic(table.sum(axis=0)))
    pairs = coincidences(np.stack([same, same], axis=1), 2)
    assert np.isnan(krippendorff_alpha(pairs.sum(axis=0)))
    assert coefficient(pairs, np.arange(20), krippendorff_alpha) is None


def test_missing_verdicts_are_no_agreement_and_no_disagreement() -> None:
    """An item without one of the verdicts is in no table."""
    truth = np.array([0, 1, _GAP, 1])
    judged = np.array([0, _GAP, 1, 0])
    assert confusion(truth, judged, 2).sum(axis=0).tolist() == [[1, 0], [1, 0]]
    assert coincidences(np.stack([truth, judged], axis=1), 2).sum() == 4


def _noisy(size: int, right: float, seed: int = 3) -> tuple[Codes, Codes]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=size).astype(np.intp)
    return truth, np.where(rng.random(size) < right, truth, 1 - truth)


def test_a_coefficient_has_a_jackknife_interval_over_clusters() -> None:
    """It is that of scipy's t and Fisher's z; copies of items in their cluster narrow nothing."""
    truth, judged = _noisy(60, 0.8)
    tables = confusion(truth, judged, 2)
    found = coefficient(tables, np.arange(60), cohen_kappa)
    assert found is not None
    left = [np.arctanh(cohen_kappa(np.delete(tables, one, 0).sum(axis=0))) for one in range(60)]
    error = np.sqrt(59 * np.var(left))
    half = t.ppf(0.975, 59) * error
    ends = np.tanh(np.arctanh(found.value) + np.array([-half, half]))
    assert found.interval == pytest.approx(tuple(ends))
    copied = coefficient(
        confusion(np.tile(truth, 6), np.tile(judged, 6), 2), np.tile(np.arange(60), 6), cohen_kappa
    )
    assert copied is not None
    assert copied.interval == pytest.approx(found.interval)


@pytest.mark.parametrize(
    ("size", "wrong", "absent"),
    [
        (5, 4, "5 source prompts with a verdict, 10 required"),
        (60, 2, "2 of 60 source prompts differ between raters, 3 required"),
    ],
)
def test_too_little_disagreement_has_no_interval(size: int, wrong: int, absent: str) -> None:
    """A coefficient of few clusters, or of few that disagree, says why it has no interval."""
    truth = np.arange(size) % 2
    judged = np.where(np.arange(size) < wrong, 1 - truth, truth)
    found = coefficient(confusion(truth, judged, 2), np.arange(size), youden)
    assert found is not None
    assert (found.offered, found.absent) == (None, absent)


def test_a_clustered_share_is_worth_its_clusters() -> None:
    """Six copies of an answer narrow nothing; where few clusters differ each counts once."""
    hit = np.repeat([1.0, 0.0], [30, 20])
    alone = clustered_share(hit, np.arange(50))
    copied = clustered_share(np.tile(hit, 6), np.tile(np.arange(50), 6))
    assert copied.interval == pytest.approx(alone.interval)
    assert (copied.n, copied.clusters) == (300, 50)
    # Wilson (1927) for 30 of 50, with the quantile of t for 49 degrees of freedom.
    assert alone.interval == pytest.approx((0.457, 0.728), abs=0.001)
    certain = clustered_share(np.ones(60), np.repeat(np.arange(10), 6))
    assert certain.interval == pytest.approx((0.722, 1.0), abs=0.001)
    nearly = clustered_share(np.repeat([0.0, 1.0], [6, 234]), np.repeat(np.arange(40), 6))
    assert nearly.interval == pytest.approx(tuple(binomtest(39, 40).proportion_ci(method="wilson")))
    with pytest.raises(SampleError, match="at least 1 observation; 0 seen"):
        clustered_share(np.array([np.nan]), np.zeros(1, dtype=np.intp))
