"""What several paired differences together say of two models."""

from collections.abc import Iterable
from typing import Literal

Decision = Literal["beats", "loses", "trades", "undecided", "incomplete"]

SIGNIFICANCE = 0.05
"""Adjusted p-values below it count."""


def significant_gain(gain: float, p_adjusted: float) -> int:
    """Return 1 for a significant gain, -1 for a significant loss, 0 for neither.

    Args:
        gain: a difference, signed so that above zero is better.
        p_adjusted: its p-value, adjusted for all comparisons of its family.
    """
    return 0 if p_adjusted >= SIGNIFICANCE else (gain > 0) - (gain < 0)


def decide(gains: Iterable[int | None]) -> Decision:
    """Say what the deciding axes say together.

    A model *beats* another when it is better on at least one axis and worse on none, *loses* in
    the reverse case, *trades* when it is better on one and worse on another, and is *undecided*
    when no difference is significant: no evidence is not equality.

    Args:
        gains: of each axis, as `significant_gain` returns it; None where it is not compared yet.

    Example:
        >>> decide([1, 0, 1])
        'beats'
        >>> decide([1, -1])
        'trades'
    """
    signs = set(gains)
    if None in signs or not signs:
        return "incomplete"
    if signs >= {1, -1}:
        return "trades"
    return "beats" if 1 in signs else "loses" if -1 in signs else "undecided"
