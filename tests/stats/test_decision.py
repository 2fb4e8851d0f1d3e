"""The decision rule, row by row."""

import numpy as np
import pytest

from mixmerge.stats.decision import (
    Compared,
    Decision,
    adjust_all_axes,
    decide,
    significant_gain,
)
from mixmerge.stats.paired import holm

_SAYS = {
    "better": Compared(1, not_worse=True, not_better=False),
    "slightly better": Compared(1, not_worse=True, not_better=True),
    "worse": Compared(-1, not_worse=False, not_better=True),
    "slightly worse": Compared(-1, not_worse=True, not_better=True),
    "worse, maybe slightly": Compared(-1, not_worse=False, not_better=True),
    "not worse": Compared(0, not_worse=True, not_better=False),
    "not better": Compared(0, not_worse=False, not_better=True),
    "same": Compared(0, not_worse=True, not_better=True),
    "unknown": Compared(0, not_worse=False, not_better=False),
    "not compared": None,
}


@pytest.mark.parametrize(
    ("gain", "p", "sign"),
    [
        (0.2, 0.01, 1),
        (-0.2, 0.01, -1),
        (0.2, 0.0499, 1),
        (0.2, 0.05, 0),
        (-0.2, 0.2, 0),
        (0.0, 0.01, 0),
    ],
)
def test_a_gain_counts_below_five_per_cent(gain: float, p: float, sign: int) -> None:
    """The adjusted p-value decides whether it counts, its sign which way; no gain is neither."""
    assert significant_gain(gain, p) == sign


@pytest.mark.parametrize(
    ("axes", "decision"),
    [
        (["better"], "beats"),
        (["worse"], "loses"),
        (["unknown"], "undecided"),
        (["same"], "equivalent"),
        (["slightly better"], "equivalent"),
        (["better", "better"], "beats"),
        (["better", "same"], "beats"),
        (["better", "not worse"], "beats"),
        (["better", "slightly worse"], "beats"),
        (["better", "unknown"], "undecided"),
        (["better", "not better"], "undecided"),
        (["slightly better", "not worse"], "beats"),
        (["slightly better", "slightly worse"], "equivalent"),
        (["same", "same"], "equivalent"),
        (["not worse", "same"], "undecided"),
        (["unknown", "worse"], "undecided"),
        (["same", "worse"], "loses"),
        (["slightly better", "worse"], "loses"),
        (["better", "worse"], "trades"),
        (["better", "unknown", "worse, maybe slightly"], "trades"),
        (["same", "same", "not worse", "not worse", "better"], "beats"),
        (["better", "not compared"], "incomplete"),
        ([], "incomplete"),
    ],
)
def test_what_axes_say_together(axes: list[str], decision: Decision) -> None:
    """Better somewhere and shown not to be worse anywhere beats, whatever the order of the axes."""
    said = [_SAYS[axis] for axis in axes]
    assert decide(said) == decide(reversed(said)) == decision


def test_no_two_models_beat_each_other() -> None:
    """Turned round, a win is a loss, and all that is neither stays what it is."""
    rng = np.random.default_rng(0)
    turned = {"beats": "loses", "loses": "beats"}
    for _ in range(500):
        axes = []
        for _ in range(rng.integers(1, 4)):
            gain, half = rng.normal(0, 4), rng.uniform(0.1, 5)
            sign = int(gain > half) - int(gain < -half)
            axes.append(Compared(sign, gain - half > -3, gain + half < 3))
        other = [Compared(-a.gain, a.not_better, a.not_worse) for a in axes]
        decision = decide(axes)
        assert decide(other) == turned.get(decision, decision)


def test_pairs_are_adjusted_by_their_weakest_axis() -> None:
    """The largest p-value of each pair is Holm's, and the others of the pair grow with it."""
    p = [[0.001, 0.01], [0.02, 0.0], [0.5, 0.004]]
    adjusted = adjust_all_axes(p)
    assert [max(pair) for pair in adjusted] == pytest.approx(holm([0.01, 0.02, 0.5]))
    assert adjusted[0][0] == pytest.approx(0.003)
    assert adjusted[1][1] == 0.0
    assert adjusted[2] == pytest.approx([0.5, 0.004])
    assert adjust_all_axes([[0.0, 0.0]]) == [[0.0, 0.0]]
