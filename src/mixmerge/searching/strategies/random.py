"""Candidates at random, evenly over the space and the methods."""

from itertools import islice

import numpy as np

from mixmerge.searching.space import Candidate, Space
from mixmerge.searching.strategies.strategy import History

_TRIES = 64
"""Points drawn for each candidate, in case some are known or not valid."""


class Random:
    """Draws from a uniform distribution; see `Strategy`."""

    def needed(self, space: Space) -> int:
        """Return 1."""
        del space
        return 1

    def check(self) -> None:
        """Do nothing: this needs no package."""

    def propose(self, history: History, count: int) -> list[Candidate]:
        """Return random candidates that are not known."""
        space, rng = history.space, np.random.default_rng([history.seed, history.batch])
        points = [
            space.point(space.methods[int(rng.integers(len(space.methods)))], cube)
            for cube in rng.random((count * _TRIES, space.dimensions)).tolist()
        ]
        return list(islice(space.distinct(points, history.known), count))


STRATEGY = Random()
