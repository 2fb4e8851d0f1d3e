"""The decision rule, row by row."""

import pytest

from mixmerge.evaluation.results import decide, significant_gain
from mixmerge.records.results import Decision


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
    ("gains", "decision"),
    [
        ([1], "beats"),
        ([-1], "loses"),
        ([0], "undecided"),
        ([1, 1], "beats"),
        ([1, 0], "beats"),
        ([0, -1], "loses"),
        ([-1, -1], "loses"),
        ([1, -1], "trades"),
        ([0, 0], "undecided"),
        ([1, 0, -1], "trades"),
        ([0, 0, 0, 0, 1], "beats"),
        ([1, None], "incomplete"),
        ([1, -1, None], "incomplete"),
        ([], "incomplete"),
    ],
)
def test_what_axes_say_together(gains: list[int | None], decision: Decision) -> None:
    """Better somewhere and worse nowhere beats; the order of the axes does not matter."""
    assert decide(gains) == decide(reversed(gains)) == decision
