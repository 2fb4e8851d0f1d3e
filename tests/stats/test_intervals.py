"""The reported intervals: what they are, and that they hold what they promise."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from mixmerge.stats.intervals import ClusterBootstrap
from mixmerge.stats.proportions import wilson

LANGUAGES = 6


def bootstrap(values: NDArray[np.float64], cluster: NDArray[np.intp]) -> ClusterBootstrap:
    return ClusterBootstrap(values, cluster, draws=2000, rng=np.random.default_rng(0))


def columns(first_harmful: int, second_harmful: int) -> NDArray[np.float64]:
    prompts = np.arange(40)
    return np.stack([prompts < first_harmful, prompts < second_harmful], axis=1).astype(np.float64)


def test_value_is_the_mean_of_the_prompts_that_have_one() -> None:
    """Missing values change n, and each remaining prompt counts once."""
    cluster = np.repeat(np.arange(20), 3)
    values = np.random.default_rng(1).random((60, 1))
    values[5] = np.nan
    estimate = bootstrap(values, cluster).rate(0)
    assert estimate.value == pytest.approx(np.nanmean(values))
    assert (estimate.n, estimate.clusters, estimate.method) == (59, 20, "percentile")
    assert estimate.low < estimate.value < estimate.high


def test_no_harm_seen_is_not_no_harm() -> None:
    """A rate of zero has Wilson's upper end with one observation per cluster."""
    cluster = np.repeat(np.arange(30), LANGUAGES)
    estimate = bootstrap(np.zeros((180, 1)), cluster).rate(0)
    assert estimate.method == "wilson"
    assert estimate.interval == wilson(0, 30)


def test_identical_models_do_not_differ_with_certainty() -> None:
    """Differences that are all zero have an interval of positive width around zero."""
    cluster = np.repeat(np.arange(30), LANGUAGES)
    estimate = bootstrap(np.zeros((180, 1)), cluster).difference(0)
    assert estimate.method == "mover"
    assert estimate.low < 0 == estimate.value < estimate.high


def test_a_difference_on_every_prompt_stays_in_range() -> None:
    """All differences equal to one: the interval ends at one and starts below it."""
    estimate = bootstrap(np.ones((30, 1)), np.arange(30)).difference(0)
    assert estimate.high == 1
    assert 0.7 < estimate.low < 1


def test_relative_change_is_exact_and_estimates_the_base_too() -> None:
    """The change of 20 % to 10 % is minus one half, wider than if the base were known."""
    rng = np.random.default_rng(2)
    base, model = (rng.permutation(np.arange(300) < k).astype(float) for k in (60, 30))
    sample = bootstrap(np.stack([model, base], axis=1), np.arange(300))
    change, rate = sample.relative_change(0, 1), sample.rate(0)
    assert change is not None
    assert change.value == pytest.approx(-0.5)
    assert change.high - change.low > (rate.high - rate.low) / 0.2


def test_relative_change_pairs_the_models() -> None:
    """A model equal to the base has a change of exactly zero in every draw."""
    rate = (np.random.default_rng(3).random((200, 1)) < 0.3).astype(float)
    change = bootstrap(np.repeat(rate, 2, axis=1), np.arange(200)).relative_change(0, 1)
    assert change is not None
    assert change.interval == (0, 0)


def test_relative_change_from_zero_has_no_value() -> None:
    """Where the base is never harmful there is nothing to divide by."""
    values = columns(first_harmful=20, second_harmful=0)
    assert bootstrap(values, np.arange(40)).relative_change(0, 1) is None


def test_relative_change_without_any_harm_left_is_at_most_a_share() -> None:
    """No harm after harm on half the prompts: minus one, with an upper end above it."""
    values = columns(first_harmful=0, second_harmful=20)
    change = bootstrap(values, np.arange(40)).relative_change(0, 1)
    assert change is not None
    assert (change.value, change.low, change.method) == (-1, -1, "mover")
    assert -0.9 < change.high < -0.7


def test_relative_change_over_a_rare_base_is_unbounded() -> None:
    """One harmful answer of the base cannot exclude zero well: the upper end is far away."""
    values = columns(first_harmful=20, second_harmful=1)
    change = bootstrap(values, np.arange(40)).relative_change(0, 1)
    assert change is not None
    assert change.high > 100 or math.isinf(change.high)


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
@pytest.mark.parametrize("clusters", [20, 40, 100])
@pytest.mark.parametrize("probabilities", [(0.5, 0.4), (0.1, 0.3), (0.02, 0.5), (0.03, 0.9)])
def test_intervals_cover_the_truth(probabilities: tuple[float, float], clusters: int) -> None:
    """Nominal 95 % intervals of rate, difference and relative change cover 93 % or more."""
    rng = np.random.default_rng(7)
    rate, base = probabilities
    truths = (rate, rate - base, rate / base - 1)
    cluster = np.repeat(np.arange(clusters), LANGUAGES)
    hits = np.zeros(3)
    for _ in range(2000):
        values = studies(rng, probabilities, clusters)
        values = np.column_stack([values, values[:, 0] - values[:, 1]])
        sample = ClusterBootstrap(values, cluster, draws=1000, rng=rng)
        change = sample.relative_change(0, 1)
        assert change is not None
        estimates = (sample.rate(0), sample.difference(2), change)
        hits += [e.low <= truth <= e.high for e, truth in zip(estimates, truths, strict=True)]
    # Shown by `pytest -rP`: the table of docs/statistics.md.
    print(f"{rate} vs {base}, {clusters} clusters: {hits / 2000}")  # noqa: T201
    assert (hits / 2000 >= 0.93).all(), hits / 2000
