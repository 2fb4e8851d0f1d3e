"""Tests of mixmerge.stats.simulation against exact power, statsmodels and published sizes."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import NormalIndPower, TTestPower
from tests.evaluation.worlds import axis, verdict

from mixmerge.evaluation.results import results
from mixmerge.evaluation.spec import ResultsSpec
from mixmerge.records import Verdict
from mixmerge.records.results import ModelInfo
from mixmerge.stats.bootstrap import Floats
from mixmerge.stats.drawn import Resampled, Stated, Stratum
from mixmerge.stats.intervals import ClusterSample
from mixmerge.stats.paired import mcnemar_p
from mixmerge.stats.power import discordant, effective_size, smallest_difference
from mixmerge.stats.simulation import Family, Scale

UP = Scale(1, 0.03)


def alone(model: Stated | Resampled, studies: int = 2000, draws: int = 1000) -> Family:
    """One contrast on one axis."""
    return Family([UP], [[model]], pairs=1, seed=1, studies=studies, draws=draws)


def exact_power(n: int, gain: float, loss: float) -> float:
    """The share of samples of independent yes-or-no differences that are found, by counting."""
    total = 0.0
    for ups in range(n + 1):
        for downs in range(n - ups + 1):
            p = stats.multinomial.pmf(
                [ups, downs, n - ups - downs], n, [gain, loss, 1 - gain - loss]
            )
            if p > 1e-7 and ups > downs:
                values = np.repeat([1.0, -1.0, 0.0], [ups, downs, n - ups - downs])
                sample = ClusterSample(values[:, None], np.arange(n))
                p_value = max(mcnemar_p(ups, downs), sample.p_of_equal_means(0))
                total += p * (p_value < 0.05)
    return total


@pytest.mark.slow
def test_power_is_within_two_points_of_the_truth() -> None:
    """Simulated power equals that of counting every possible sample of 60 prompts."""
    model = Stated(np.ones(60, dtype=np.intp), 0.5, 0.5, 0.0)
    a, b = 0.68, 0.5
    both = a * b + 0.5 * math.sqrt(a * (1 - a) * b * (1 - b))
    true = exact_power(60, a - both, b - both)
    assert alone(model).power(0, 0, 0.18) == pytest.approx(true, abs=0.02)
    assert 0.5 < true < 0.95


def test_grades_against_a_paired_t_test() -> None:
    """Grades whose clusters differ as a bell curve: the power is that of statsmodels' t test."""
    differences = stats.norm.ppf((np.arange(400) + 0.5) / 400) * 0.1
    pilot = Stratum((0.5 + differences / 2)[:, None], (0.5 - differences / 2)[:, None], 80)
    found = alone(Resampled((pilot,), graded=True), studies=400).smallest(0, 0)
    effect = TTestPower().solve_power(nobs=80, alpha=0.05, power=0.8)
    # Moving grades towards the end of their range leaves a little less of their spread.
    assert found.difference == pytest.approx(0.1 * effect, rel=0.1)


ANCHORS = [(0.1, 5.0), (0.3, 6.4), (0.5, 7.6)]


@pytest.mark.parametrize(("within", "points"), ANCHORS)
def test_two_hundred_questions_in_six_languages(within: float, points: float) -> None:
    """The formula finds what is known of them for three correlations within a question."""
    found = smallest_difference(effective_size(1200, 200, within), discordant(0.5, 0.5))
    assert 100 * found == pytest.approx(points, abs=0.07)


@pytest.mark.slow
@pytest.mark.parametrize(("within", "points"), ANCHORS)
def test_the_simulation_finds_them_too(within: float, points: float) -> None:
    """Simulated, the smallest differences agree within the simulation's stated error."""
    found = alone(Stated(np.full(200, 6), 0.5, 0.5, within)).smallest(0, 0)
    assert 100 * found.difference == pytest.approx(points, abs=100 * found.error + 0.05)


@pytest.mark.slow
def test_native_red_teaming_prompts() -> None:
    """5,404 of them show 2.0 points at a rate of 30 % if latent traits correlate by one half.

    Of yes-or-no scores that is a correlation of 0.318; one of 0.5 gives 1.75 points.
    """
    corner = stats.norm.ppf(0.3)
    both = float(stats.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]]).cdf([corner, corner]))
    correlation = (both - 0.09) / 0.21
    assert correlation == pytest.approx(0.318, abs=0.001)
    size = np.ones(5404, dtype=np.intp)
    fewer = Scale(-1, 0.03)
    for own, points in ((correlation, 2.0), (0.5, 1.75)):
        family = Family([fewer], [[Stated(size, 0.3, own, 0.0)]], 1, 0, studies=1000, draws=1000)
        found = family.smallest(0, 0)
        assert 100 * found.difference == pytest.approx(points, abs=100 * found.error + 0.05)


def test_the_formula_against_two_proportions() -> None:
    """Without correlation and clusters, sizes are those of statsmodels' z test of two samples."""
    known = NormalIndPower().solve_power(nobs1=4000, alpha=0.05, power=0.8) * math.sqrt(0.25)
    assert smallest_difference(4000, discordant(0.5, 0.0)) == pytest.approx(known, rel=0.005)


def test_the_needed_size_is_that_of_the_smallest_difference() -> None:
    """Asked for the smallest difference of a study, its own size is needed."""
    family = alone(Stated(np.full(60, 2), 0.5, 0.5, 0.3), studies=250)
    found = family.smallest(0, 0)
    assert family.clusters_for(0, 0, found.difference, 40.0) == pytest.approx(60, rel=0.15)


def test_a_true_null_is_rarely_found() -> None:
    """Without a difference, a study of two pairs and two axes finds one in at most 5 %."""
    model = Stated(np.full(40, 2), 0.5, 0.5, 0.3)
    family = Family([UP, Scale(-1, 0.03)], 2 * [[model, model]], 2, 0, studies=200, draws=1000)
    found = [family.power(pair, axis, 0.0) for pair in (0, 1) for axis in (0, 1)]
    assert sum(found) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)


def test_more_contrasts_and_other_axes_cost_power() -> None:
    """Holm's method asks more of many contrasts; beating also asks "not worse" on every axis."""
    model = Stated(np.full(60, 2), 0.5, 0.5, 0.3)
    one = alone(model, studies=200).smallest(0, 0)
    many = Family([UP, UP], [[model, model]], 4, 1, studies=200, draws=1000).smallest(0, 0)
    assert many.difference > 1.1 * one.difference
    assert one.beats > 0.7 > many.beats
    assert many.not_worse < one.not_worse


def test_what_cannot_be_is_not_found() -> None:
    """A rate of 2 % of few prompts can fall by 2 points only, which few studies would show."""
    model = Stated(np.ones(40, dtype=np.intp), 0.02, 0.5, 0.0)
    found = Family([Scale(-1, 0.03)], [[model]], 1, 0, studies=200).smallest(0, 0)
    assert found.difference == math.inf
    assert found.beats == 0


def test_a_seed_gives_the_same_bytes() -> None:
    """Two simulations with one seed agree in every digit; another seed differs."""
    model = Stated(np.full(30, 2), 0.5, 0.5, 0.3)
    one, same, other = (
        Family([UP], [[model]], 2, seed, studies=100, draws=1000).smallest(0, 0)
        for seed in (3, 3, 4)
    )
    assert repr(one) == repr(same)
    assert one.difference != other.difference


class _Given(Stated):
    """One study, with these differences."""

    values: Floats

    def samples(
        self, difference: float, studies: int, seed: Sequence[int]
    ) -> Iterator[ClusterSample]:
        yield ClusterSample(self.values[:, None], np.repeat(np.arange(40), 3))


@pytest.mark.parametrize("seed", range(6))
def test_decisions_are_those_of_the_results(seed: int) -> None:
    """The same scores give the p-values and the decision that a report has."""
    rng = np.random.default_rng(seed)
    rates = {"mix": 0.5, "slerp": 0.5 - 0.07 * (seed % 3), "ties": 0.45}
    said: dict[str, dict[str, list[Verdict]]] = {
        name: {
            a: [
                verdict(i, a, "yes" if x else "no")
                for i, x in enumerate(rng.random(120) < (rate if a == "safety" else 1 - rate))
            ]
            for a in ("safety", "right")
        }
        for name, rate in {"base": 0.9, **rates}.items()
    }
    # Few questions on which models differ, so that sign patterns are counted and not drawn.
    for name in ("slerp", "ties"):
        for a in ("safety", "right"):
            said[name][a][48:] = said["mix"][a][48:]
    infos = {"base": ModelInfo(kind="base"), "mix": ModelInfo(kind="mixture", stage="sft")}
    infos |= {n: ModelInfo(kind="merge", stage="sft", method=n) for n in ("slerp", "ties")}
    axes = {"safety": axis({"rate": "harmful"}, "lower", 0.2)}
    axes |= {"right": axis({"rate": "correct"}, margin=0.2)}
    spec = ResultsSpec(study="s", axes=axes, baselines={"sft": "mix"}, draws=1000)
    found = results(spec, "base", infos, said)

    def model(name: str, a: str) -> _Given:
        given = _Given(np.full(40, 3), 0.5, 0.5, 0.0)
        own, mix = ([v.outcome == "yes" for v in said[n][a]] for n in (name, "mix"))
        object.__setattr__(given, "values", np.subtract(own, mix, dtype=np.float64))
        return given

    pairs = ("slerp", "ties")
    scales = [Scale(-1, 0.2), Scale(1, 0.2)]
    models = [[model(name, a) for a in axes] for name in pairs]
    family = Family(scales, models, 2, 0, studies=1, draws=1000)
    for row, name in enumerate(pairs):
        decision = next(each for each in found.decisions if each.a == name)
        assert family._beats(row, 0, 0.0) == (decision.decision == "beats")
        for column, a in enumerate(axes):
            contrast = found.contrast(name, "mix", a)
            assert contrast is not None
            tests = family._null[row][column]
            assert tests.mean[0] == pytest.approx(contrast.difference)
            if contrast.p < 0.05:
                assert tests.p[0] == pytest.approx(contrast.p)
            assert (family.power(row, column, 0.0) == 1) == (a in decision.better)
            assert (family._not_worse(row, column) == 1) == (a in decision.not_worse)
