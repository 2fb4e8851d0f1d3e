"""Decisions between two models from several paired differences."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mixmerge.stats.paired import holm

Decision = Literal["beats", "loses", "equivalent", "trades", "undecided", "incomplete"]

SIGNIFICANCE = 0.05
"""For adjusted two-sided p-values."""

ONE_SIDED = SIGNIFICANCE / 2
"""For one-sided p-values, which corresponds to a 95 % interval inside the margin."""


@dataclass(frozen=True)
class Compared:
    """Model a against model b on one axis. "Worse" always means by the margin or more."""

    gain: int
    """1 where a is significantly better, -1 where it is significantly worse, else 0."""
    not_worse: bool
    """Whether a is shown not to be worse (non-inferior)."""
    not_better: bool
    """Whether a is shown not to be better by the margin or more."""


def significant_gain(gain: float, p_adjusted: float) -> int:
    """Return 1 for a significant gain, -1 for a significant loss, 0 for neither.

    ``gain`` is positive if better; its p-value is adjusted for all comparisons of its family.
    """
    return 0 if p_adjusted >= SIGNIFICANCE else (gain > 0) - (gain < 0)


def adjust_all_axes(p_values: Sequence[Sequence[float]]) -> list[list[float]]:
    """Adjust one-sided p-values, by pair and axis, of claims about all axes of a pair at once.

    "Not worse on any axis" holds if it holds on every axis, so the pair's largest p-value is that
    of the claim and axes need no adjustment (an intersection-union test; Berger 1982). Holm's
    method then adjusts for the number of pairs, and each axis by its pair's factor.

    Example:
        >>> adjust_all_axes([[0.001, 0.01], [0.02, 0.0]])
        [[0.002, 0.02], [0.02, 0.0]]
    """
    worst = [max(of_pair) for of_pair in p_values]
    factors = [
        adjusted / raw if raw else 1.0 for raw, adjusted in zip(worst, holm(worst), strict=True)
    ]
    return [
        [min(1.0, p * factor) for p in of_pair]
        for of_pair, factor in zip(p_values, factors, strict=True)
    ]


def decide(axes: Iterable[Compared | None]) -> Decision:
    """Return the decision over all axes together; None is an axis without a comparison.

    A model *beats* another if it is better on at least one axis and shown not to be worse, by a
    margin set in advance, on any; it *loses* in the reverse case. Two models are *equivalent* if
    every difference is shown to be inside the margin, whatever its sign (both would otherwise beat
    the other). A model *trades* if it is better on one axis and worse on another without any of
    these. All else is *undecided*: no evidence of a difference is not equality.

    Example:
        >>> better, unsure = Compared(1, True, False), Compared(0, False, False)
        >>> decide([better, better])
        'beats'
        >>> decide([better, unsure])
        'undecided'
    """
    compared = list(axes)
    known = [each for each in compared if each is not None]
    if not known or len(known) < len(compared):
        return "incomplete"
    gains = {each.gain for each in known}
    not_worse, not_better = all(e.not_worse for e in known), all(e.not_better for e in known)
    if not_worse and not_better:
        return "equivalent"
    if not_worse and 1 in gains:
        return "beats"
    if not_better and -1 in gains:
        return "loses"
    return "trades" if gains >= {1, -1} else "undecided"
