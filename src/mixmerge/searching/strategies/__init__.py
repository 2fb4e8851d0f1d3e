"""How candidates are chosen, one file each. To add one, write its file and name it in `_FILES`.

A file defines ``STRATEGY``, an object with the methods of `Strategy`. It holds no state: what it
proposes follows from what it is told and the seed, so that an interrupted search goes on alike.
"""

from collections.abc import Mapping
from importlib import import_module

from mixmerge.searching.strategies.strategy import Strategy

__all__ = ["STRATEGIES", "Strategy"]

_FILES = (
    "bayes",
    "random",
    "grid",
)

STRATEGIES: Mapping[str, Strategy] = {
    file: import_module(f"{__name__}.{file}").STRATEGY for file in _FILES
}
"""By their name in a study file."""
