"""The merges that a search may try, as points of a cube.

A point is a method and a number in [0, 1] for every dimension. Values are rounded to three digits,
so that recipes can be read and a candidate has one name.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from mixmerge.errors import SpecError
from mixmerge.fingerprint import fingerprint
from mixmerge.merging.methods import METHODS
from mixmerge.merging.planning.composition import Origin, Part
from mixmerge.merging.spec import MergeSpec
from mixmerge.study.search_spec import SearchSpec

_DIGITS = 3
_UNUSED = 0.5
"""Coordinate of a dimension that a method does not have."""

Setting = float | bool | str
Weights = float | tuple[float, ...]


@dataclass(frozen=True)
class Point:
    """A method and a coordinate in [0, 1] for every dimension of a `Space`."""

    method: str
    cube: tuple[float, ...]


@dataclass(frozen=True)
class Candidate:
    """A merge to try."""

    point: Point
    merge: MergeSpec
    features: tuple[float, ...]
    """What a model of the objective sees, each in [0, 1]: weights, parameters, which method."""

    @cached_property
    def key(self) -> str:
        """Identify the candidate: 8 hexadecimal digits of its recipe."""
        return fingerprint(self.merge.model_dump(mode="json"))[:8]


@dataclass(frozen=True)
class Line:
    """Merges that differ in one number only."""

    parameter: str
    """``weight of NAME``, or a parameter of the method."""
    values: tuple[float, ...]
    features: tuple[tuple[float, ...], ...]
    """Of the merge at each value; see `Candidate.features`."""


class Space:
    """All merges of a `SearchSpec`."""

    def __init__(self, spec: SearchSpec) -> None:
        self.spec = spec
        self._made: dict[Point, Candidate | None] = {}
        self.methods = spec.methods
        self._ranges = {n: v for n, v in spec.parameters.items() if isinstance(v, tuple)}
        self._fixed = {n: v for n, v in spec.parameters.items() if not isinstance(v, tuple)}
        count = len(spec.models) - (spec.weights == "simplex")
        self._weights = spec.gradient * count
        self._per_value = count

    @property
    def dimensions(self) -> int:
        """Numbers that a point has."""
        return self._weights + len(self._ranges)

    def used(self, method: str) -> tuple[bool, ...]:
        """Return which dimensions change a merge by this method."""
        weighs = METHODS[method].parameter("weight") is not None
        own = [METHODS[method].parameter(name) is not None for name in self._ranges]
        return (*[weighs] * self._weights, *own)

    def point(self, method: str, cube: Sequence[float]) -> Point:
        """Return a point, with the dimensions that the method lacks at one value."""
        pairs = zip(cube, self.used(method), strict=True)
        return Point(method, tuple(float(x) if used else _UNUSED for x, used in pairs))

    def candidate(self, point: Point) -> Candidate | None:
        """Return the merge at a point; None if its values do not go together."""
        if point not in self._made:  # a grid comes back to its points with every batch
            self._made[point] = self._make(point)
        return self._made[point]

    def _make(self, point: Point) -> Candidate | None:
        weights = self._weights_at(point.cube[: self._weights])
        places = zip(self._ranges.items(), point.cube[self._weights :], strict=True)
        ranged = {name: _between(ends, x) for (name, ends), x in places}
        method = METHODS[point.method]
        settings: dict[str, Setting] = {
            name: value
            for name, value in {**self._fixed, **ranged}.items()
            if method.parameter(name) is not None
        }
        shared = {n: v for n, v in settings.items() if not _per_model(point.method, n)}
        own = {n: v for n, v in settings.items() if n not in shared}
        weighs = method.parameter("weight") is not None
        models = {
            name: {**({"weight": weights[name]} if weighs else {}), **own}
            for name in self.spec.models
        }
        try:
            merge = MergeSpec.model_validate(
                {"method": point.method, "models": models, "parameters": shared}
            )
        except ValueError:
            return None
        works = _works(merge, self.spec.gradient)
        return Candidate(point, merge, self._features(point, weights)) if works else None

    def distinct(self, points: Sequence[Point], known: frozenset[str]) -> Iterator[Candidate]:
        """Yield the merges at some points, each once and none that is known."""
        seen = set(known)
        for point in points:
            candidate = self.candidate(point)
            if candidate is not None and candidate.key not in seen:
                seen.add(candidate.key)
                yield candidate

    def lines(self, candidate: Candidate, count: int) -> Iterator[Line]:
        """Yield the lines through a candidate along each weight and each parameter in a range.

        A weight has one value at all depths of a line. On a simplex the other weights keep their
        proportions.
        """
        used = self.used(candidate.point.method)
        shares = [step / (count - 1) for step in range(count)]
        names = self.spec.models[:1] if self._is_line else self.spec.models
        low, high = (0.0, 1.0) if self.spec.weights == "simplex" else self.spec.weights
        for place, name in enumerate(names if any(used[: self._weights]) else ()):
            yield Line(
                f"weight of {name}",
                tuple(_between((low, high), share) for share in shares),
                tuple(self._with_weight(candidate.features, place, share) for share in shares),
            )
        first = len(names) * self.spec.gradient
        for place, (name, ends) in enumerate(self._ranges.items()):
            if used[self._weights + place]:
                before, after = candidate.features[: first + place], first + place + 1
                yield Line(
                    name,
                    tuple(_between(ends, share) for share in shares),
                    tuple((*before, share, *candidate.features[after:]) for share in shares),
                )

    def _with_weight(
        self, features: tuple[float, ...], model: int, share: float
    ) -> tuple[float, ...]:
        depths, changed = self.spec.gradient, list(features)
        if self.spec.weights == "simplex" and not self._is_line:
            others = [m for m in range(len(self.spec.models)) if m != model]
            for depth in range(depths):
                rest = sum(features[m * depths + depth] for m in others)
                for m in others:
                    own = features[m * depths + depth] / rest if rest > 0 else 1 / len(others)
                    changed[m * depths + depth] = own * (1 - share)
        changed[model * depths : (model + 1) * depths] = [share] * depths
        return tuple(changed)

    def _weights_at(self, cube: Sequence[float]) -> dict[str, Weights]:
        steps = [cube[n : n + self._per_value] for n in range(0, self._weights, self._per_value)]
        simplex = self.spec.weights == "simplex"
        rows = [_simplex(step) if simplex else self._free(step) for step in steps]
        columns = zip(self.spec.models, zip(*rows, strict=True), strict=True)
        return {name: row[0] if len(row) == 1 else tuple(row) for name, row in columns}

    def _free(self, step: Sequence[float]) -> list[float]:
        assert isinstance(self.spec.weights, tuple)
        ends = self.spec.weights
        return [_between(ends, x) for x in step]

    def _features(self, point: Point, weights: dict[str, Weights]) -> tuple[float, ...]:
        low, high = (0.0, 1.0) if self.spec.weights == "simplex" else self.spec.weights
        flat = [w for own in weights.values() for w in (own if isinstance(own, tuple) else [own])]
        weighed = METHODS[point.method].parameter("weight") is not None
        scaled = [(w - low) / (high - low) if weighed else _UNUSED for w in flat]
        # Of two weights that add up to 1 the second says nothing new.
        scaled = scaled[: len(scaled) // 2] if self._is_line else scaled
        others = self.methods if len(self.methods) > 1 else ()
        return (*scaled, *point.cube[self._weights :], *(float(m == point.method) for m in others))

    @property
    def _is_line(self) -> bool:
        return self.spec.weights == "simplex" and len(self.spec.models) == 2


def _per_model(method: str, name: str) -> bool:
    parameter = METHODS[method].parameter(name)
    return parameter is not None and parameter.per_model


def _between(ends: tuple[float, float], x: float) -> float:
    low, high = ends
    return round(low + (high - low) * x, _DIGITS)


def _simplex(cube: Sequence[float]) -> list[float]:
    """Return weights that add up to 1, spread evenly over the simplex if ``cube`` is over the cube.

    Each weight takes a share of what the ones before left; the k-th last of them takes more than x
    of it with probability (1 - x)^k, as in a uniform distribution.
    """
    left, weights = 1.0, []
    for place, x in enumerate(cube):
        share = 1 - (1 - x) ** (1 / (len(cube) - place))
        weights.append(round(left * share, _DIGITS))
        left = max(0.0, 1 - sum(weights))
    return [*weights, round(left, _DIGITS)]


def _works(merge: MergeSpec, depths: int) -> bool:
    """Whether a method takes these values together at every value of the gradients."""
    recipe = merge.recipe
    part = Part(recipe, recipe.parts[0])
    inputs = ("",) * len(recipe.inputs)
    try:
        for place in range(depths):
            part.of(Origin("", 0, place / max(1, depths - 1), inputs))
    except SpecError:
        return False
    return True
