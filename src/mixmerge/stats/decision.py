"""What several paired differences together say of two models."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from mixmerge.stats.paired import holm

Decision = Literal["beats", "loses", "equivalent", "trades", "undecided", "incomplete"]

SIGNIFICANCE = 0.05
"""Adjusted two-sided p-values below it count."""

ONE_SIDED = SIGNIFICANCE / 2
"""The same for one-sided p-values: then a 95 % interval lies inside the margin."""


@dataclass(frozen=True)
class Compared:
    """What one axis says of model a against model b. "Worse" always means by the margin or more."""

    gain: int
    """1 where a is significantly better, -1 where it is significantly worse, else 0."""
    not_worse: bool
    """Whether a is shown not to be worse (non-inferior)."""
    not_better: bool
    """Whether a is shown not to be better by the margin or more: b is not worse."""


def significant_gain(gain: float, p_adjusted: float) -> int:
    """Return 1 for a significant gain, -1 for a significant loss, 0 for neither.

    Args:
        gain: a difference, signed so that above zero is better.
        p_adjusted: its p-value, adjusted for all comparisons of its family.
    """
    return 0 if p_adjusted >= SIGNIFICANCE else (gain > 0) - (gain < 0)


def adjust_all_axes(p_values: Sequence[Sequence[float]]) -> list[list[float]]:
    """Adjust one-sided p-values of claims that are about all axes of a pair of models at once.

    "Not worse on any axis" is shown where it is shown on every axis, so the largest p-value of the
    pair is that of the claim and axes need no adjustment (an intersection-union test; Berger 1982).
    Holm's method then adjusts for the number of pairs, and each axis by the factor of its pair.

    Args:
        p_values: by pair and axis; each pair has at least one.

    Returns:
        The adjusted ones, in the same order.

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
    """Say what the deciding axes say together.

    A model *beats* another when it is better on at least one axis and shown not to be worse, by a
    margin stated beforehand, on any; it *loses* in the reverse case. Two models are *equivalent*
    when every difference is shown to lie inside the margin, whatever its sign: both could be said
    to beat the other then. A model *trades* when it is better on one axis and worse on another
    without any of these. All else is *undecided*: no evidence of a difference is not equality.

    Args:
        axes: what each says; None where it is not compared yet.

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
