"""The reported intervals: which they are, and where there is none."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import betaincinv

from mixmerge.stats.intervals import ClusterMean, ClusterSample
from mixmerge.stats.proportions import clustered_wilson, tango, wilson

LANGUAGES = 6
Floats = NDArray[np.float64]


def sample(*columns: Floats, clusters: int) -> ClusterSample:
    """Return a sample whose rows are spread evenly over the clusters."""
    values = np.stack(columns, axis=1)
    return ClusterSample(values, np.repeat(np.arange(clusters), len(values) // clusters))


def harmful(events: int, prompts: int = 40) -> Floats:
    """Return answers of which the first so many are harmful."""
    return (np.arange(prompts) < events).astype(np.float64)


def test_value_is_the_mean_of_the_prompts_that_have_one() -> None:
    """Missing values change n, and each remaining prompt counts once."""
    values = np.random.default_rng(1).random(60)
    values[5] = np.nan
    estimate = sample(values, clusters=20).rate(0)
    assert estimate.value == pytest.approx(np.nanmean(values))
    assert (estimate.n, estimate.clusters, estimate.method) == (59, 20, "clustered wilson")
    assert estimate.low < estimate.value < estimate.high


def test_limits_of_a_difference_are_exact_however_few_clusters_vary() -> None:
    """The share of clusters on each side has its exact limit; where all are on one, 1."""
    model, base = harmful(3), harmful(0)
    low, high = sample(model - base, clusters=40).limits(0)
    assert (low, high) == pytest.approx(
        (-float(betaincinv(1, 40, 0.975)), float(betaincinv(4, 37, 0.975)))
    )
    assert sample(np.ones(12), clusters=12).limits(0)[1] == 1.0


def test_independent_answers_have_the_textbook_intervals() -> None:
    """With one yes or no per cluster, a rate has Wilson's interval and a difference Tango's."""
    model, base = harmful(10), harmful(24)
    found = sample(model, base - model, clusters=40)
    assert found.rate(0).offered == wilson(10 / 40, 40)
    assert found.difference(1).offered == tango(14 / 40, 0, 40)
    assert (found.rate(0).method, found.difference(1).method) == ("wilson", "tango")


def test_graded_answers_have_the_clustered_interval() -> None:
    """Ties in clusters of one are not yes or no: their variance is estimated."""
    scores = np.random.default_rng(2).choice([0.0, 0.5, 1.0], size=80)
    estimate = sample(scores, clusters=80).rate(0)
    mean = ClusterMean.of(scores, np.ones(80))
    assert estimate.offered == clustered_wilson(mean.value, mean.variance, 80)


def test_no_harm_seen_has_a_bound_in_words_and_no_interval() -> None:
    """A rate of zero says how many prompts vary, and the exact one-sided limit by clusters."""
    estimate = sample(np.zeros(180), clusters=30).rate(0)
    assert estimate.offered is None
    limit = 1 - 0.05 ** (1 / 30)
    assert estimate.absent == (
        "0 of 30 source prompts differ from the most common value, 3 required; "
        f"at most {limit:.1%} with 95% confidence"
    )
    always = sample(np.ones(180), clusters=30).rate(0)
    assert f"at least {1 - limit:.1%}" in always.absent


def test_few_prompts_have_no_interval() -> None:
    """Below 30 prompts, or 10 clusters, the reason names what was seen and what is required."""
    few = np.random.default_rng(3).integers(2, size=29).astype(float)
    assert "29 prompts with a verdict, 30 required" in sample(few, clusters=29).rate(0).absent
    many = np.random.default_rng(3).integers(2, size=36).astype(float)
    assert "9 source prompts with a verdict, 10 required" in sample(many, clusters=9).rate(0).absent


@pytest.mark.parametrize(
    ("clusters", "each", "differing"), [(20, 6, 8), (30, 6, 3), (30, 3, 5), (120, 1, 3)]
)
def test_differences_need_clusters_that_differ(clusters: int, each: int, differing: int) -> None:
    """3 clusters must vary, or 5 below 100 prompts, or 8 below 30 clusters."""

    def interval(moved: int) -> tuple[float, float] | None:
        values = np.zeros((clusters, each))
        values[:moved, 0] = np.resize([1, -1], moved)
        return sample(values.ravel(), clusters=clusters).difference(0).offered

    assert interval(differing - 1) is None
    found = interval(differing)
    assert found is not None
    assert found[0] < found[1]


def test_a_difference_nearly_everywhere_stays_in_range() -> None:
    """With 35 of 40 differences at one, the upper end is below one and the lower far from it."""
    values = np.ones(40)
    values[:5] = 0
    low, high = sample(values, clusters=40).difference(0).interval
    assert 0.7 < low < 0.875 < high < 1


def test_relative_change_is_exact_and_estimates_the_base_too() -> None:
    """The change of 20 % to 10 % is minus one half, wider than if the base were known."""
    rng = np.random.default_rng(2)
    base, model = (rng.permutation(np.arange(300) < k).astype(float) for k in (60, 30))
    found = sample(model, base, clusters=300)
    change, rate = found.relative_change(0, 1), found.rate(0)
    assert change is not None
    assert change.value == pytest.approx(-0.5)
    assert change.high - change.low > (rate.high - rate.low) / 0.2


def test_relative_change_pairs_the_models() -> None:
    """A model equal to the base has changed by nothing; unpaired, the ends would be at a fifth."""
    rate = (np.random.default_rng(3).random(200) < 0.3).astype(float)
    change = sample(rate, rate, clusters=200).relative_change(0, 1)
    assert change is not None
    assert -0.03 < change.low < 0 < change.high < 0.03


def test_relative_change_from_zero_has_no_value_and_from_few_no_interval() -> None:
    """A base that is never harmful gives nothing; one that rarely is gives no interval."""
    assert sample(harmful(20), harmful(0), clusters=40).relative_change(0, 1) is None
    change = sample(harmful(20), harmful(2), clusters=40).relative_change(0, 1)
    assert change is not None
    assert change.value == pytest.approx(9)
    assert change.offered is None
    assert "2 of 40 source prompts differ" in change.absent


def test_a_bound_in_words_needs_a_common_value_at_the_end() -> None:
    """Where most prompts have a third of their answers harmful, few that vary say nothing of 0."""
    scores = np.array([[1.0, 0.0, 0.0]] * 6 + [[0.0, 0.0, 0.0]] * 4).ravel()
    estimate = sample(scores, clusters=10).rate(0)
    assert estimate.offered is None
    assert estimate.absent == "4 of 10 source prompts differ from the most common value, 5 required"
    harmful = sample(np.repeat([1.0, 0.0], [27, 3]), clusters=10).rate(0)
    limit = 1 - betaincinv(2, 9, 0.95)
    assert harmful.absent is not None
    assert harmful.absent.endswith(f"; at least {limit:.1%} with 95% confidence")


def test_average_counts_every_language_alike() -> None:
    """The average of two languages' rates ignores that one has more prompts."""
    rng = np.random.default_rng(4)
    first, second = rng.integers(2, size=90).astype(float), rng.integers(2, size=90).astype(float)
    second[::3] = np.nan
    found = sample(first, second, clusters=30)
    average = found.average_rate([0, 1])
    assert average.value == pytest.approx((first.mean() + np.nanmean(second)) / 2)
    assert average.low < average.value < average.high
    # Two languages that vary against each other leave an average without any variation.
    mirrored = sample(first, 1 - first, clusters=30).average_rate([0, 1])
    assert (mirrored.value, mirrored.offered) == (0.5, None)


def studies(
    rng: np.random.Generator, probabilities: tuple[float, float], clusters: int
) -> NDArray[np.float64]:
    """Simulate two models on translated prompts: some questions are harder for both.

    A Gaussian copula gives each answer exactly its probability while clusters (correlation 0.4)
    and models (0.2 more) go together.
    """
    from scipy.stats import norm

    shared = rng.normal(size=(clusters, 1, 1))
    prompt = rng.normal(size=(clusters, LANGUAGES, 1))
    own = rng.normal(size=(clusters, LANGUAGES, 2))
    latent = math.sqrt(0.4) * shared + math.sqrt(0.2) * prompt + math.sqrt(0.4) * own
    return (latent < norm.ppf(probabilities)).astype(float).reshape(-1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("clusters", [20, 100])
@pytest.mark.parametrize("probabilities", [(0.5, 0.4), (0.1, 0.3)])
def test_intervals_cover_the_truth(probabilities: tuple[float, float], clusters: int) -> None:
    """Over 2,000 studies, intervals of rate, difference and relative change cover 93 to 97 %."""
    rng = np.random.default_rng(7)
    rate, base = probabilities
    truths = (rate, rate - base, rate / base - 1)
    hits, offered = np.zeros(3), np.zeros(3)
    for _ in range(2000):
        model, reference = studies(rng, probabilities, clusters).T
        found = sample(model, reference, model - reference, clusters=clusters)
        estimates = (found.rate(0), found.difference(2), found.relative_change(0, 1))
        for place, (estimate, truth) in enumerate(zip(estimates, truths, strict=True)):
            if estimate is not None and estimate.offered is not None:
                offered[place] += 1
                hits[place] += estimate.low <= truth <= estimate.high
    assert (offered > 1900).all()
    assert hits / offered == pytest.approx(0.95, abs=0.02), hits / offered
