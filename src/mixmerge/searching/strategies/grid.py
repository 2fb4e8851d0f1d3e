"""Every combination of evenly spaced values, method by method."""

from collections.abc import Iterator
from itertools import islice, product

from mixmerge.searching.space import Candidate, Point, Space
from mixmerge.searching.strategies.strategy import History


class Grid:
    """Tries ``steps`` values of every parameter; see `Strategy`."""

    def needed(self, space: Space) -> int:
        """Return the size of the grid: half a grid would leave out whole methods."""
        return sum(1 for _ in space.distinct([*_points(space)], frozenset()))

    def check(self) -> None:
        """Do nothing: this needs no package."""

    def propose(self, history: History, count: int) -> list[Candidate]:
        """Return the next candidates of the grid."""
        points = [*_points(history.space)]
        return list(islice(history.space.distinct(points, history.known), count))


def _points(space: Space) -> Iterator[Point]:
    steps = [place / (space.spec.steps - 1) for place in range(space.spec.steps)]
    for method in space.methods:
        # A dimension that the method lacks has one value only.
        values = [steps if used else steps[:1] for used in space.used(method)]
        for cube in product(*values):
            yield space.point(method, cube)


STRATEGY = Grid()
