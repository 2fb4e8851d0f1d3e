"""Layers, counted from the tensors' names.

The first number in a name is its layer, and the part before it says which stack of layers it
belongs to. A tensor whose name has no number lies outside of the layers.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

_NUMBERED = re.compile(r"(.*?(?:^|\.))(0|[1-9]\d{0,8})(\.|$)", re.ASCII)


class Place(NamedTuple):
    """Where a tensor stands in a stack of layers."""

    stack: str
    """What stands before the number, for example ``model.layers.``."""
    layer: int
    rest: str
    """What stands after the number, for example ``.mlp.up_proj.weight``."""


def place(tensor: str) -> Place | None:
    """Return where a tensor stands, or None where its name has no number."""
    found = _NUMBERED.match(tensor)
    return found and Place(found[1], int(found[2]), tensor[found.end(2) :])


def depths(tensors: Iterable[str]) -> dict[str, float]:
    """Return for each tensor how deep its layer lies: 0 the first, 1 the last (or the only) one.

    Tensors outside of layers have depth 0, as in mergekit.
    """
    places = {name: place(name) for name in tensors}
    counts = _count(places.values())
    return {
        name: depth(found.layer, counts[found.stack]) if found else 0.0
        for name, found in places.items()
    }


def layers(tensors: Iterable[str]) -> dict[str, int]:
    """Return the number of layers of each stack, by the part of the names before the number."""
    return _count(map(place, tensors))


def _count(places: Iterable[Place | None]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for stack, layer, _ in filter(None, places):
        counts[stack] = max(counts.get(stack, 0), layer + 1)
    return counts


def depth(layer: int, count: int) -> float:
    """Return how deep a layer lies among ``count``: 0 the first, 1 the last (or the only) one."""
    return layer / (count - 1) if count > 1 else 1.0
