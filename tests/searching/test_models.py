"""Tests of mixmerge.searching.models: estimates of a candidate from its scores."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mixmerge.evaluation.measures import MeasuredAxis
from mixmerge.records import Message, Prompt
from mixmerge.searching.models import StudyObjective, mean_of, variance_of
from mixmerge.study.search_spec import Limit

ROWS = [
    Prompt(id=f"{n}-{language}", cluster=str(n), language=language,
           messages=(Message(role="user", content="?"),))
    for n in range(12) for language in ("en", "hi")
]  # fmt: skip
AXES = {
    "good": MeasuredAxis.model_validate({"measure": {"mean": [0, 10]}}),
    "harm": MeasuredAxis.model_validate({"measure": {"rate": "harmful"}, "better": "lower"}),
}


def objective(**own: Any) -> StudyObjective:
    """An objective of two axes, of which the first eight questions are the first look."""
    first, rest = [[row for row in ROWS if (int(row.cluster) < 8) == is_first]
                   for is_first in (True, False)]  # fmt: skip
    usual: dict[str, Any] = {
        "asker": None, "asked": [dict.fromkeys(AXES, first), dict.fromkeys(AXES, rest)],
        "axes": AXES, "goals": ("good", "harm"), "limits": [], "base": {},
        "experts": {"a": known(0.5)},
        "keeps_languages": False, "folder": Path(),
    }  # fmt: skip
    return StudyObjective(**usual | own)


def evidence(good: np.ndarray[Any, Any], harm: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
    """The scores of both looks."""
    return [
        {"scores": {"good": good[part].tolist(), "harm": harm[part].tolist()}}
        for part in (slice(16), slice(16, None))
    ]


def known(value: float) -> dict[str, dict[str, float]]:
    """The same score on every prompt."""
    return {axis: dict.fromkeys((row.id for row in ROWS), value) for axis in AXES}


def test_values_are_means_with_clustered_variances() -> None:
    """Both looks are pooled; harm counts from its end; a variance is that of cluster means."""
    rng = np.random.default_rng(1)
    good, harm = rng.random(24), (rng.random(24) < 0.4).astype(float)
    found = objective().measure(evidence(good, harm))
    assert found.values == pytest.approx((good.mean(), 1 - harm.mean()))
    by_cluster = [scores.reshape(12, 2).mean(axis=1) for scores in (good, harm)]
    assert found.variances == pytest.approx([each.var(ddof=1) / 12 for each in by_cluster])
    first = objective().measure(evidence(good, harm)[:1])
    assert first.values == pytest.approx((good[:16].mean(), 1 - harm[:16].mean()))


def test_what_is_hard_for_all_models_is_no_error() -> None:
    """A candidate that is better than the models alone by the same on every prompt has no noise."""
    rng = np.random.default_rng(2)
    hard = dict(zip((row.id for row in ROWS), rng.uniform(0.2, 0.8, 24).tolist(), strict=True))
    experts = {name: {"good": hard, "harm": hard} for name in "ab"}
    own = np.array([hard[row.id] for row in ROWS])
    for looks in (1, 2):  # the first questions are harder or easier than the others
        found = objective(experts=experts).measure(evidence(own + 0.1, own - 0.1)[:looks])
        assert found.values == pytest.approx((own.mean() + 0.1, 1 - own.mean() + 0.1))
        assert max(found.variances) == pytest.approx(1 / (18 if looks == 1 else 26) ** 2)


def test_equal_answers_are_not_certain() -> None:
    """Without any variance a value still has that of one answer that differs."""
    found = mean_of(np.ones(24), ROWS)
    assert found.variance == 0
    assert variance_of(found) == pytest.approx(1 / 26**2)


def test_limits_are_slacks_in_shares_of_the_range() -> None:
    """A grade of 6 where 7 is asked misses by a tenth; harm of a half under 0.6 keeps a tenth."""
    limits = [Limit("good", 7.0, at_most=False), Limit("harm", 0.6, at_most=True)]
    made = objective(limits=limits)
    found = made.measure(evidence(np.full(24, 0.6), np.tile([0.0, 1.0], 12)))
    assert found.slacks == pytest.approx((-0.1, 0.1))
    assert not found.is_kept
    assert made.constraints == ("good >= 7", "harm <= 0.6")


def test_the_worst_language_counts() -> None:
    """One language below the base by more than the margin breaks the constraint, on any axis."""
    made = objective(keeps_languages=True, base=known(0.5))
    harm = np.full(24, 0.5)
    even = made.measure(evidence(np.full(24, 0.5), harm))
    assert even.slacks == pytest.approx((0.03,))
    worse = made.measure(evidence(np.tile([0.9, 0.4], 12), harm))
    assert worse.slacks == pytest.approx((-0.07,))
    harmful = made.measure(evidence(np.full(24, 0.5), np.tile([0.5, 0.7], 12)))
    assert harmful.slacks == pytest.approx((-0.17,))


def test_missing_scores_are_left_out_and_none_at_all_is_no_value() -> None:
    """A prompt without a score does not count; an axis without any has NaN."""
    good, harm = np.full(24, 0.5), np.full(24, 1.0)
    some = evidence(good, harm)
    some[0]["scores"]["harm"][0] = None
    assert objective().measure(some).values == pytest.approx((0.5, 0.0))
    for look in some:
        look["scores"]["harm"] = [None] * len(look["scores"]["harm"])
    assert not objective().measure(some).finite


def test_the_reference_is_below_every_model_alone() -> None:
    """It is a tenth of the distance of the models below the worse one, on each goal."""
    experts = {"a": known(0.2), "b": known(0.7)}
    assert objective(experts=experts).reference == pytest.approx((0.15, 0.25))


def test_values_are_shown_in_the_units_of_the_axis() -> None:
    """Grades are grades, and a rate where lower is better is that rate."""
    shown = objective().shown(evidence(np.full(24, 0.6), np.tile([0.0, 1.0], 12)))
    assert shown["good"] == pytest.approx((6.0, 10 / 26))
    assert shown["harm"][0] == pytest.approx(0.5)
