"""The numbers of arXiv 2410.10801 that we know, from notes on its first version.

Percent and percentage points. ``harm`` is the relative change against the base (less is better),
``win`` the win rate against the base (more is better).
"""

from typing import NamedTuple


class Pair(NamedTuple):
    """One row of the paper."""

    harm: float
    win: float


METHODS = ("linear", "slerp", "ties", "dare-ties")

TABLE_1 = {
    "sft-0": Pair(-41.4, 70.0),
    "sft-15": Pair(-56.6, 67.4),
    "sft-100": Pair(-64.4, 64.8),
    "sft-linear": Pair(-49.1, 76.0),
    "sft-slerp": Pair(-58.2, 72.6),
    "sft-ties": Pair(-45.2, 74.9),
    "sft-dare-ties": Pair(-56.1, 70.0),
    "dpo-0": Pair(-39.2, 70.7),
    "dpo-15": Pair(-54.69, 71.0),
    "dpo-100": Pair(-68.2, 75.0),
    "dpo-linear": Pair(-48.6, 75.0),
    "dpo-slerp": Pair(-57.8, 78.0),
    "dpo-ties": Pair(-65.1, 63.6),
    "dpo-dare-ties": Pair(-55.9, 78.5),
}

TABLE_2 = {
    "sft-slerp": Pair(-58.2, 72.6),
    "dpo-slerp": Pair(-57.8, 78.0),
    "merge-dpo": Pair(-61.2, 74.0),
}

FIGURE_5 = {
    "sft-15": Pair(-56.6, 67.4),
    "three-ties": Pair(-65.3, 77.0),
    "six-ties": Pair(-63.2, 71.2),
}
